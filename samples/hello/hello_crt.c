/* A console program on the C runtime: start-up code, arguments, stdio, heap, environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    char *copy = malloc(64);
    if (!copy)
        return 1;
    strcpy(copy, "from the heap");
    printf("Hello from a PE image, %d argument%s\n", argc - 1, argc == 2 ? "" : "s");
    for (int i = 1; i < argc; i++)
        printf("  [%d] %s\n", i, argv[i]);
    printf("%s, %5.2f, %#x, %s\n", copy, 3.14159, 255u,
           getenv("PELDR_GREETING") ? "greeted" : "plain");
    free(copy);
    return argc - 1;
}
