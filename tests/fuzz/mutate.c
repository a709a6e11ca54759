/*
 * What libFuzzer does to an input beside its own changes of bytes: it sets fields of the headers,
 * the section table and the first words of what the data directories point to, to values that mean
 * something there. Linked into the libFuzzer targets that read whole images.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pe/image.h"

/* libFuzzer's side of it; the names are its own. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct field {
    uint16_t offset;
    uint8_t width;
};

/* From the PE signature. The optional header's offsets are those of PE32+; PE32 differs in few. */
static const struct field header_fields[] = {
    {4, 2},   {6, 2},   {20, 2},  {22, 2},  {24, 2},  {40, 4},  {48, 4},  {52, 4},  {56, 4},
    {60, 4},  {72, 2},  {74, 2},  {80, 4},  {84, 4},  {88, 4},  {92, 2},  {94, 2},  {116, 4},
    {132, 4}, {120, 4}, {124, 4}, {128, 4}, {136, 4}, {140, 4}, {144, 4}, {148, 4}, {152, 4},
};
static const struct field section_fields[] = {{8, 4}, {12, 4}, {16, 4}, {20, 4}, {36, 4}};

struct chance {
    uint32_t state;
};

static uint32_t next(struct chance *chance)
{
    chance->state = chance->state * 1664525u + 1013904223u;
    return chance->state >> 8;
}

/* A number that fields of this image hold, are measured by or overflow at. */
static uint32_t value_for(struct chance *chance, const struct pe_image *image, uint32_t old)
{
    const struct pe_headers *h = &image->h;
    struct pe_section s = {.virtual_size = 1};
    pe_section_at(image, next(chance) % 4, &s);
    const uint32_t values[] = {
        0,
        1,
        4,
        8,
        old + 1,
        old - 1,
        old + 0x1000,
        old - 0x1000,
        old ^ 1u << next(chance) % 32,
        0x200,
        0xfff,
        0x1000,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xfffff000,
        0xffffffff,
        (uint32_t)image->bytes.size,
        h->size_of_image,
        h->size_of_image - 4,
        h->size_of_headers,
        h->e_lfanew,
        h->section_alignment,
        h->file_alignment,
        (uint32_t)h->image_base,
        (uint32_t)h->image_base + s.virtual_address,
        s.virtual_address,
        s.virtual_address + s.virtual_size,
        s.virtual_size,
        s.size_of_raw_data,
        s.pointer_to_raw_data,
        h->directory[next(chance) % PE_DIRECTORY_COUNT].rva,
        next(chance),
    };
    return values[next(chance) % (sizeof(values) / sizeof(values[0]))];
}

static void set(struct chance *chance, const struct pe_image *image, uint64_t at, uint8_t width)
{
    uint32_t old = 0;
    uint16_t old_word = 0;
    if (width == 4 && pe_u32(image->bytes, at, &old))
        pe_put_u32(image->bytes, at, value_for(chance, image, old));
    else if (width == 2 && pe_u16(image->bytes, at, &old_word))
        pe_put_u16(image->bytes, at, (uint16_t)value_for(chance, image, old_word));
}

static void set_header(struct chance *chance, const struct pe_image *image)
{
    struct field f = header_fields[next(chance) % (sizeof(header_fields) / sizeof(struct field))];
    set(chance, image, image->h.e_lfanew + (uint64_t)f.offset, f.width);
}

static void set_directory(struct chance *chance, const struct pe_image *image)
{
    uint32_t first = image->h.pe32_plus ? 112 : 96, i = next(chance) % (2 * PE_DIRECTORY_COUNT);
    set(chance, image, image->h.optional_header_offset + first + 4ull * i, 4);
}

static void set_section(struct chance *chance, const struct pe_image *image)
{
    struct field f = section_fields[next(chance) % (sizeof(section_fields) / sizeof(struct field))];
    uint32_t i = next(chance) % (image->h.number_of_sections ? image->h.number_of_sections : 1u);
    set(chance, image, image->h.section_table_offset + 40ull * i + f.offset, f.width);
}

/* One of the words at the begin of a directory, or of what one of them points to. */
static void set_content(struct chance *chance, const struct pe_image *image)
{
    struct pe_directory dir = image->h.directory[next(chance) % PE_DIRECTORY_COUNT];
    uint32_t rva = dir.rva + next(chance) % 16 * 4, pointer;
    uint64_t offset;
    if (next(chance) % 2 && pe_rva_u32(image, rva, &pointer))
        rva = pointer + next(chance) % 16 * 4;
    if (pe_rva_to_offset(image, rva, &offset))
        set(chance, image, offset, 4);
}

/* A PE section's header over another's, or one more section. */
static void copy_section(struct chance *chance, const struct pe_image *image)
{
    uint8_t header[40];
    struct pe_span from, to;
    uint32_t count = image->h.number_of_sections + 1u;
    uint64_t table = image->h.section_table_offset;
    if (!pe_sub(image->bytes, table + 40ull * (next(chance) % count), sizeof(header), &from) ||
        !pe_sub(image->bytes, table + 40ull * (next(chance) % count), sizeof(header), &to))
        return;
    memcpy(header, from.data, sizeof(header));
    memcpy((uint8_t *)to.data, header, sizeof(header));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static void (*const ways[])(struct chance *, const struct pe_image *) = {
        set_header, set_directory, set_section, set_content, set_content, copy_section};
    struct chance chance = {seed};
    struct pe_image image;
    if (next(&chance) % 2 ||
        !nt_ok(pe_open((struct pe_span){data, size}, PE_LAYOUT_FILE, &image, NULL)))
        return LLVMFuzzerMutate(data, size, max_size);
    for (uint32_t i = next(&chance) % 3 + 1; i > 0; i--)
        ways[next(&chance) % (sizeof(ways) / sizeof(ways[0]))](&chance, &image);
    return size;
}
