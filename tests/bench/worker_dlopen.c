/* The contenders that are glibc: dlopen and dlclose of the ELF twin, and dlsym. */
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>

#include "tests/bench/host_contenders.h"

static const char *path;
static void *library;
static char **names;

static void *open_or_fail(const char *file)
{
    void *opened = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!opened)
        fail("%s", dlerror());
    return opened;
}

static void prepare(const struct options *options)
{
    path = options->arguments[0];
    if (options->keep)
        open_or_fail(options->keep);
}

static void load(void)
{
    library = open_or_fail(path);
}

static void unload(void)
{
    if (dlclose(library) != 0)
        fail("%s", dlerror());
}

/* From the first to the last PT_LOAD; the twins have no holes between them. */
static int add_segments(struct dl_phdr_info *info, size_t size, void *user)
{
    struct range *range = user;
    uintptr_t low = UINTPTR_MAX, high = 0;
    if (info->dlpi_addr != (uintptr_t)range->base)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD)
            continue;
        if (header->p_vaddr < low)
            low = header->p_vaddr;
        if (header->p_vaddr + header->p_memsz > high)
            high = header->p_vaddr + header->p_memsz;
    }
    range->base += low;
    range->size = high - low;
    return 1;
}

static struct range range(void)
{
    struct link_map *map;
    struct range found;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0)
        fail("%s", dlerror());
    found = (struct range){(const volatile char *)map->l_addr, 0};
    if (!dl_iterate_phdr(add_segments, &found))
        fail("%s has no segments", path);
    return found;
}

static void *find(const char *name)
{
    return dlsym(library, name);
}

static int call(void *function)
{
    return ((int (*)(void))function)();
}

const struct contender contender_dlopen = {.name = "dlopen",
                                           .prepare = prepare,
                                           .load = load,
                                           .unload = unload,
                                           .range = range,
                                           .find = find,
                                           .call = call};

static void prepare_names(const struct options *options)
{
    prepare(options);
    load();
    names = options->arguments + 1;
}

static void find_names(void)
{
    for (char **name = names; *name; name++)
        if (!dlsym(library, *name))
            fail("%s", dlerror());
}

static void nothing(void)
{
}

const struct contender contender_dlsym = {
    .name = "dlsym", .prepare = prepare_names, .load = find_names, .unload = nothing};
