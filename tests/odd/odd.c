/*
 * Odd images: programs to start from, and files made by hand (odd.h).
 */
#include "tests/odd/odd.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below what AddressSanitizer takes, in either word size: the images run under it as well. */
enum { PROGRAM_BASE = 0x400000, DLL_BASE = 0x10000000 };

static void die(const char *what)
{
    fprintf(stderr, "odd: %s\n", what);
    abort();
}

void odd_begin(struct odd *odd, unsigned flags)
{
    bool wide = sizeof(void *) == 8;
    odd->b = pebuild_new(flags | (wide ? PEBUILD_PE32_PLUS : 0));
    odd->b->h.image_base = flags & PEBUILD_DLL ? DLL_BASE : PROGRAM_BASE;
    odd->b->h.major_subsystem_version = 4; /* every version takes it */
}

void odd_program_with(struct odd *odd, unsigned flags, struct pebuild_import *imports,
                      uint32_t count)
{
    if (!odd->b)
        odd_begin(odd, flags);
    pebuild_imports(odd->b, imports, count);
    odd_code_begin(&odd->code, pebuild_next_rva(odd->b), imports[0].iat_rva, imports[1].iat_rva);
    odd->b->h.address_of_entry_point = odd->code.rva;
}

void odd_program(struct odd *odd, unsigned flags)
{
    struct pebuild_import imports[] = {{.module = "msvcrt.dll", .names = {"printf"}},
                                       {.module = "KERNEL32.dll", .names = {"ExitProcess"}}};
    odd_program_with(odd, flags, imports, 2);
}

uint32_t odd_text(struct odd *odd)
{
    if (odd->code.rva != pebuild_next_rva(odd->b))
        die("a PE section came between the code and its beginning");
    uint32_t index =
        pebuild_section(odd->b, ".text", PEBUILD_TEXT, odd->code.data, odd->code.size, 0);
    odd_code_free(&odd->code);
    odd->code.rva = pebuild_next_rva(odd->b);
    return index;
}

void odd_finish(struct odd *odd)
{
    if (odd->code.size)
        odd_text(odd);
    odd->bytes = pebuild_finish(odd->b, &odd->size);
    odd->b = NULL;
}

void odd_bytes(struct odd *odd, uint64_t size)
{
    free(odd->bytes);
    odd->bytes = calloc(1, size + 1);
    odd->size = size;
    if (!odd->bytes)
        die("out of memory");
}

void odd_resize(struct odd *odd, uint64_t size)
{
    uint8_t *bytes = realloc(odd->bytes, size + 1);
    if (!bytes)
        die("out of memory");
    if (size > odd->size)
        memset(bytes + odd->size, 0, size - odd->size);
    odd->bytes = bytes;
    odd->size = size;
}

static uint32_t get(const struct odd *odd, uint64_t offset, uint32_t width)
{
    uint32_t value = 0;
    if (odd->size < width || offset > odd->size - width)
        die("a header is not in the file");
    for (uint32_t i = width; i-- > 0;)
        value = value << 8 | odd->bytes[offset + i];
    return value;
}

uint64_t odd_nt(const struct odd *odd)
{
    return get(odd, 0x3c, 4);
}

uint64_t odd_optional(const struct odd *odd)
{
    return odd_nt(odd) + 24;
}

uint64_t odd_directory(const struct odd *odd, enum pe_directory_index index)
{
    uint32_t first = get(odd, odd_optional(odd), 2) == 0x20b ? 112 : 96;
    return odd_optional(odd) + first + (uint64_t)index * 8;
}

uint64_t odd_section_header(const struct odd *odd, uint32_t i)
{
    return odd_optional(odd) + get(odd, odd_nt(odd) + 20, 2) + (uint64_t)i * 40;
}

bool odd_write(const struct odd *odd, const char *path)
{
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(odd->bytes, 1, odd->size, file) == odd->size;
    return file && fclose(file) == 0 && ok;
}

void odd_build(struct odd *odd, void (*build)(struct odd *odd))
{
    build(odd);
    if (odd->b && !odd->bytes)
        odd_finish(odd);
    if (odd->b)
        die("both bytes and a builder are left");
    odd_code_free(&odd->code);
}

void odd_dll(struct odd *odd, const char *name, void (*build)(struct odd *odd))
{
    struct odd dll = {.dir = odd->dir};
    char path[PATH_MAX];
    odd_build(&dll, build);
    snprintf(path, sizeof(path), "%s/%s", odd->dir, name);
    if (!odd_write(&dll, path))
        die("a DLL cannot be written");
    free(dll.bytes);
}
