/*
 * A host that takes libpeldr.so by dlopen, as hosts written in Python or Lua do: the variables of
 * its threads must fit into what is left of the first thread's block.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef void *open_fn(const char *name, uint32_t flags);
typedef void *sym_fn(void *module, const char *name);
typedef const char *error_fn(void);

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why ? why : "no error");
    return 1;
}

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library)
        return fail("dlopen", dlerror());
    open_fn *peldr_open = (open_fn *)dlsym(library, "peldr_open");
    sym_fn *peldr_sym = (sym_fn *)dlsym(library, "peldr_sym");
    error_fn *peldr_error = (error_fn *)dlsym(library, "peldr_error");
    if (!peldr_open || !peldr_sym || !peldr_error)
        return fail("dlsym", dlerror());
    void *kernel32 = peldr_open("kernel32.dll", 0);
    if (!kernel32 || !peldr_sym(kernel32, "GetTickCount"))
        return fail("kernel32.dll", peldr_error());
    if (peldr_open("no_such.dll", 0) || !strstr(peldr_error(), "no_such.dll"))
        return fail("no_such.dll", peldr_error());
    return 0;
}
