/* What a native program does that says hello and loads one library: the twin of `peldr run`. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc > 1 && !dlopen(argv[1], RTLD_NOW | RTLD_LOCAL)) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    printf("Hello from an ELF program, %d arguments\n", argc);
    return 0;
}
