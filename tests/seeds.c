/*
 * The seed images (seeds.h): a DLL with every directory in both forms, and a flat image whose
 * import list ends in zero fill (behaviours, Headers).
 */
#include "tests/seeds.h"

#include <stddef.h>

#include "tests/pebuild.h"

static void add_delay_imports(struct pebuild *b)
{
    struct pebuild_buffer buf = pebuild_buffer(b);
    uint32_t descriptor = pebuild_zeroes(&buf, 64), name = pebuild_str(&buf, "late.dll");
    pebuild_align(&buf, 8);
    uint32_t import = pebuild_u16(&buf, 0);
    pebuild_str(&buf, "later");
    pebuild_align(&buf, 8);
    uint32_t lookup = pebuild_ptr(&buf, import);
    pebuild_ptr(&buf, 0);
    uint32_t iat = pebuild_zeroes(&buf, 16), handle = pebuild_zeroes(&buf, 8);
    const uint32_t fields[] = {1, name, handle, iat, lookup};
    for (uint32_t i = 0; i < 5; i++)
        pebuild_patch32(&buf, descriptor + i * 4, fields[i]);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, descriptor, 64);
    pebuild_buffer_section(&buf, ".didat", PEBUILD_DATA);
}

/* Type 16, name "TEXT", language 0x409: one entry a level, and a loop beside the leaf. */
static void add_resources(struct pebuild *b)
{
    static const uint16_t name[] = {4, 'T', 'E', 'X', 'T'};
    static const uint32_t tables[] = {
        0,
        0,
        0,
        1u << 16,
        16,
        0x80000000u | 24, /* 0: types */
        0,
        0,
        0,
        1,
        0x80000000u | 88,
        0x80000000u | 48, /* 24: names */
        0,
        0,
        0,
        2u << 16,
        0x409,
        104,
        0x40a,
        0x80000000u, /* 48: languages, loop to the root */
        0,
        0, /* 80 */
    };
    struct pebuild_buffer buf = pebuild_buffer(b);
    for (uint32_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        pebuild_u32(&buf, tables[i]);
    for (uint32_t i = 0; i < 5; i++)
        pebuild_u16(&buf, name[i]);
    pebuild_align(&buf, 8);
    const uint32_t data[] = {buf.rva + 120, 6, 1252, 0}; /* at 104 */
    for (uint32_t i = 0; i < 4; i++)
        pebuild_u32(&buf, data[i]);
    pebuild_str(&buf, "hello");
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_RESOURCE, buf.rva, buf.size);
    pebuild_buffer_section(&buf, ".rsrc", PEBUILD_RDATA);
}

/* Load config, exception table, debug directory with a PDB path, bound imports. */
static void add_tables(struct pebuild *b)
{
    struct pebuild_buffer buf = pebuild_buffer(b);
    uint32_t config = pebuild_u32(&buf, b->h.pe32_plus ? 148 : 92);
    pebuild_zeroes(&buf, 156);
    uint32_t pdata = pebuild_u32(&buf, 0x1000);
    pebuild_u32(&buf, 0x1008);
    pebuild_u32(&buf, buf.rva);
    uint32_t bound = pebuild_u32(&buf, 0x12345678);
    pebuild_u16(&buf, 16);
    pebuild_u16(&buf, 0);
    pebuild_zeroes(&buf, 8);
    pebuild_str(&buf, "other.dll");
    pebuild_align(&buf, 4);
    uint32_t codeview = pebuild_u32(&buf, 0x53445352);
    pebuild_zeroes(&buf, 20);
    pebuild_str(&buf, "C:\\seed.pdb");
    pebuild_align(&buf, 4);
    const uint32_t debug[] = {0, 0x5f000000, 0, 2, 36, codeview, 0};
    uint32_t entry = pebuild_here(&buf);
    for (uint32_t i = 0; i < 7; i++)
        pebuild_u32(&buf, debug[i]);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, config, 160);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_EXCEPTION, pdata, 12);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, bound, 26);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_DEBUG, entry, 28);
    pebuild_buffer_section(&buf, ".rdata", PEBUILD_RDATA);
}

static uint8_t *make_full(unsigned flags, uint64_t *size)
{
    static const uint8_t code[16] = {0xb8, 1, 0, 0, 0, 0xc3};
    struct pebuild_import imports[] = {
        {.module = "other.dll", .names = {"first", "second", "#7"}, .hint = 3},
        {.module = "borland", .names = {"third"}, .no_lookup_table = true},
    };
    const struct pebuild_export exports[] = {
        {"alpha", 5, 0x1000, NULL},   {"alias", 5, 0x1000, NULL},   {NULL, 6, 0x1004, NULL},
        {"gamma", 8, 0, "other.#12"}, {"delta", 9, 0, "a.b.first"},
    };
    const uint32_t callbacks[] = {0x1000, 0x1004};
    struct pebuild_tls tls = {.template_data = code,
                              .template_size = sizeof(code),
                              .zero_fill = 8,
                              .characteristics = 0x00500000,
                              .callbacks = callbacks,
                              .callback_count = 2};
    struct pebuild *b = pebuild_new(flags);
    pebuild_section(b, ".text", PEBUILD_TEXT, code, sizeof(code), 0);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x1800);
    pebuild_imports(b, imports, 2);
    pebuild_exports(b, "seed.dll", 5, exports, 5);
    pebuild_tls(b, &tls);
    add_delay_imports(b);
    add_resources(b);
    add_tables(b);
    pebuild_highadj(b, 0x1002, 0x1234);
    pebuild_relocs(b);
    return pebuild_finish(b, size);
}

static uint8_t *make_full32(uint64_t *size)
{
    return make_full(PEBUILD_DLL, size);
}

static uint8_t *make_full64(uint64_t *size)
{
    return make_full(PEBUILD_DLL | PEBUILD_PE32_PLUS, size);
}

static uint8_t *make_flat(unsigned flags, uint64_t *size)
{
    static const uint8_t code[] = {0xc3};
    struct pebuild_import imports[] = {{.module = "other.dll", .names = {"first"}}};
    struct pebuild *b = pebuild_new(flags);
    b->h.section_alignment = b->h.file_alignment = 0x10;
    pebuild_section(b, ".text", PEBUILD_TEXT, code, sizeof(code), 0);
    pebuild_imports(b, imports, 1);
    return pebuild_finish(b, size);
}

static uint8_t *make_flat32(uint64_t *size)
{
    return make_flat(PEBUILD_EXE, size);
}

static uint8_t *make_flat64(uint64_t *size)
{
    return make_flat(PEBUILD_EXE | PEBUILD_PE32_PLUS, size);
}

const struct seed seeds[] = {
    {"full32", make_full32},
    {"full64", make_full64},
    {"flat32", make_flat32},
    {"flat64", make_flat64},
};
const uint32_t seed_count = sizeof(seeds) / sizeof(seeds[0]);
