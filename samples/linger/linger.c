/*
 * A program that stays until its standard input ends: what two instances of it share can be looked
 * at from outside. It reads all of its data, writes one page of it, and loads the DLLs it is told.
 */
#include <stdio.h>
#include <windows.h>

enum { PAGE = 4096, PAGES = 16 };

/* Behind the pages that start-up code writes: one page to write, the others only to read. */
static unsigned char data[PAGES * PAGE] __attribute__((aligned(4096))) = {1};
static const unsigned char constants[PAGES * PAGE] __attribute__((aligned(4096))) = {2};

int main(int argc, char **argv)
{
    unsigned sum = 0;
    for (int i = 1; i < argc; i++)
        if (!LoadLibraryA(argv[i])) {
            printf("%s: error %lu\n", argv[i], GetLastError());
            return 1;
        }
    *(volatile unsigned char *)&data[PAGE] = 3;
    for (unsigned i = 0; i < sizeof data; i += PAGE)
        sum += *(volatile unsigned char *)&data[i] + *(const volatile unsigned char *)&constants[i];
    printf("data %p constants %p sum %u\n", (void *)data, (const void *)constants, sum);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
