/*
 * The PE section table and the extents that Windows derives from it (facts 1.2).
 *
 * Lookups by RVA search the table by halves when it rises, as Windows demands of an image that it
 * maps. A table in disorder is scanned, and only its beginning: no linker makes one, and a hostile
 * one must not turn every access into 65535 steps.
 */
#include "pe/internal.h"

#define MAX_UNORDERED_SECTIONS 256u

enum {
    AT_VIRTUAL_SIZE = 8,
    AT_VIRTUAL_ADDRESS = 12,
    AT_RAW_SIZE = 16,
    AT_RAW_POINTER = 20,
    AT_CHARACTERISTICS = 36
};

struct pe_section_table pe_section_table(const struct pe_image *image)
{
    struct pe_section_table t = {image->bytes, image->h.section_table_offset,
                                 image->h.number_of_sections};
    uint32_t lfanew;
    uint16_t count, optional_size;
    /* What was mapped over the headers may have changed them: the file's own are asked. */
    if (image->file_headers.size && pe_u32(image->file_headers, 0x3c, &lfanew) &&
        pe_u16(image->file_headers, (uint64_t)lfanew + 6, &count) &&
        pe_u16(image->file_headers, (uint64_t)lfanew + 20, &optional_size))
        t = (struct pe_section_table){image->file_headers, (uint64_t)lfanew + 24 + optional_size,
                                      count};
    uint64_t room = t.offset < t.bytes.size ? t.bytes.size - t.offset : 0;
    if (t.count > room / PE_SECTION_HEADER_SIZE)
        t.count = (uint32_t)(room / PE_SECTION_HEADER_SIZE);
    return t;
}

static uint32_t field(const struct pe_section_table *t, uint32_t i, uint32_t at)
{
    uint32_t value = 0;
    pe_u32(t->bytes, t->offset + (uint64_t)i * PE_SECTION_HEADER_SIZE + at, &value);
    return value;
}

static uint32_t virtual_address(const struct pe_section_table *t, uint32_t i)
{
    return field(t, i, AT_VIRTUAL_ADDRESS);
}

/*
 * SizeOfRawData as it is brought in: by whole units of FileAlignment, but never by more than a page
 * (behaviours, Sections). An alignment that is none is refused by opt.file_alignment.
 */
static uint64_t raw_size(const struct pe_image *image, const struct pe_section *s)
{
    uint32_t unit = image->h.file_alignment < PE_PAGE_SIZE ? image->h.file_alignment : PE_PAGE_SIZE;
    if (!pe_is_flat(image) && s->pointer_to_raw_data == 0) /* raw data at 0 is none */
        return 0;
    if (unit == 0 || (unit & (unit - 1)) || pe_is_flat(image))
        return s->size_of_raw_data;
    return pe_round_up(s->size_of_raw_data, unit);
}

/* The extents of a page-aligned image; a flat one is its file, byte for byte. */
static void derive(const struct pe_image *image, struct pe_section *s)
{
    uint64_t size = s->virtual_size ? s->virtual_size : s->size_of_raw_data;
    uint64_t offset = s->pointer_to_raw_data, raw = raw_size(image, s);
    bool in_file = image->layout == PE_LAYOUT_FILE;
    /* A mapped image knows its file's size from whoever mapped it, or it does not. */
    uint64_t file = in_file ? image->bytes.size : image->file_size;
    if (!pe_is_flat(image)) {
        size = pe_round_up(size, PE_PAGE_SIZE);
        offset &= ~(uint64_t)(PE_SECTOR_SIZE - 1);
    }
    if (size > UINT32_MAX) /* refused by sections.fit; keep whole pages below 4 GiB */
        size = UINT32_MAX & ~(PE_PAGE_SIZE - 1);
    s->mapped_size = (uint32_t)size;
    s->file_offset = s->size_of_raw_data ? (uint32_t)offset : 0;
    if (raw > size)
        raw = size;
    uint64_t room = offset < file ? file - offset : 0;
    if ((file || in_file) && raw > room)
        raw = room;
    s->file_size = (uint32_t)raw;
}

/*
 * Windows 7's size is that of its rule opt.headers_total; a SizeOfHeaders of 1 runs there
 * (behaviours, Headers). More than the addresses that lie before the first PE section it cannot be.
 */
static uint64_t headers_of_7(const struct pe_image *image)
{
    const struct pe_headers *h = &image->h;
    uint64_t total = h->section_table_offset - h->e_lfanew + h->e_lfanew % PE_PAGE_SIZE +
                     (uint64_t)h->number_of_sections * PE_SECTION_HEADER_SIZE;
    uint64_t room = pe_round_up(h->size_of_headers, h->section_alignment);
    if (total > room)
        total = room;
    return total > h->size_of_headers ? total : h->size_of_headers;
}

uint32_t pe_headers_shown(const struct pe_image *image)
{
    uint64_t file = image->file_size ? image->file_size : UINT64_MAX;
    uint64_t size = image->h.size_of_headers, limit = pe_mapped_size(image);
    if (pe_is_flat(image))
        size = file;
    else if (image->windows == PE_WINDOWS_7)
        size = headers_of_7(image);
    if (size > file)
        size = file;
    return (uint32_t)(size < limit ? size : limit);
}

bool pe_section_at(const struct pe_image *image, uint32_t i, struct pe_section *out)
{
    struct pe_section_table t = pe_section_table(image);
    if (i >= t.count)
        return false;
    struct pe_section s = {
        .virtual_size = field(&t, i, AT_VIRTUAL_SIZE),
        .virtual_address = field(&t, i, AT_VIRTUAL_ADDRESS),
        .size_of_raw_data = field(&t, i, AT_RAW_SIZE),
        .pointer_to_raw_data = field(&t, i, AT_RAW_POINTER),
        .characteristics = field(&t, i, AT_CHARACTERISTICS),
    };
    pe_copy_some(t.bytes, t.offset + (uint64_t)i * PE_SECTION_HEADER_SIZE, s.name, 8);
    derive(image, &s);
    *out = s;
    return true;
}

bool pe_sections_rise(const struct pe_image *image)
{
    struct pe_section_table t = pe_section_table(image);
    for (uint32_t i = 1; i < t.count; i++)
        if (virtual_address(&t, i) <= virtual_address(&t, i - 1))
            return false;
    return true;
}

static bool search_rising(const struct pe_section_table *t, uint32_t rva, uint32_t *index,
                          uint32_t *next)
{
    uint32_t low = 0, high = t->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (virtual_address(t, mid) <= rva)
            low = mid + 1;
        else
            high = mid;
    }
    *next = low < t->count ? virtual_address(t, low) : UINT32_MAX;
    *index = low - 1;
    return low > 0;
}

static bool scan(const struct pe_section_table *t, uint32_t rva, uint32_t *index, uint32_t *next)
{
    uint32_t count = t->count < MAX_UNORDERED_SECTIONS ? t->count : MAX_UNORDERED_SECTIONS;
    uint32_t best = 0;
    bool found = false;
    *next = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t va = virtual_address(t, i);
        if (va > rva && va < *next)
            *next = va;
        if (va > rva || (found && va <= best))
            continue;
        best = va;
        *index = i;
        found = true;
    }
    return found;
}

bool pe_section_below(const struct pe_image *image, uint32_t rva, uint32_t *index, uint32_t *next)
{
    struct pe_section_table t = pe_section_table(image);
    return image->sections_rise ? search_rising(&t, rva, index, next) : scan(&t, rva, index, next);
}

bool pe_section_of_rva(const struct pe_image *image, uint32_t rva, struct pe_section *out,
                       uint32_t *index)
{
    uint32_t i, next;
    struct pe_section s;
    if (!pe_section_below(image, rva, &i, &next) || !pe_section_at(image, i, &s) ||
        rva - s.virtual_address >= s.mapped_size)
        return false;
    *out = s;
    if (index)
        *index = i;
    return true;
}
