/*
 * What the tests of reloc/ share: a built image as a file and as mapped memory.
 */
#ifndef TESTS_RELOC_IMAGE_H
#define TESTS_RELOC_IMAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "reloc/reloc.h"
#include "tests/pebuild.h"

/* The file and its mapped form; `bytes` is mmapped so that large images cost what they touch. */
struct test_image {
    uint8_t *file_bytes, *bytes;
    uint64_t file_size;
    uint32_t size;
    struct pe_image file, mapped;
};

/* Finishes the builder and maps the result: headers and PE sections at their RVAs. */
static inline struct test_image test_image_make(struct pebuild *b)
{
    struct test_image t = {0};
    t.file_bytes = pebuild_finish(b, &t.file_size);
    struct pe_span span = {t.file_bytes, t.file_size};
    assert_int_equal(pe_open(span, PE_LAYOUT_FILE, &t.file, NULL), STATUS_SUCCESS);
    t.size = pe_mapped_size(&t.file);
    t.bytes = mmap(NULL, t.size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(t.bytes, MAP_FAILED);
    pe_copy_some(span, 0, t.bytes, t.file.h.size_of_headers);
    struct pe_section s;
    for (uint32_t i = 0; pe_section_at(&t.file, i, &s); i++)
        pe_copy_some(span, s.file_offset, t.bytes + s.virtual_address, s.file_size);
    struct pe_span mapped = {t.bytes, t.size};
    assert_int_equal(pe_open(mapped, PE_LAYOUT_MAPPED, &t.mapped, NULL), STATUS_SUCCESS);
    return t;
}

static inline void test_image_free(struct test_image *t)
{
    munmap(t->bytes, t->size);
    free(t->file_bytes);
}

/* A .reloc section made by hand, word by word. */
static inline void test_reloc_section(struct pebuild *b, const uint16_t *words, uint32_t count)
{
    struct pebuild_buffer buf = pebuild_buffer(b);
    for (uint32_t i = 0; i < count; i++)
        pebuild_u16(&buf, words[i]);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BASERELOC, buf.rva, buf.size);
    pebuild_buffer_section(&buf, ".reloc", PEBUILD_RDATA);
}

static inline uint32_t test_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

#endif
