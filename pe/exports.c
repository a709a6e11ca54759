/*
 * The export directory (PE specification, .edata; facts 3.5).
 *
 * Only what a question needs is looked at: an ordinal lookup needs the base, the count and the
 * address table, and the rest of the directory may be garbage (behaviours, Exports). Name-table
 * entries hold unbiased indexes: the base is not subtracted from them.
 */
#include "pe/exports.h"

#include "pe/exports_internal.h"
#include "pe/internal.h"

#define DIRECTORY_SIZE 40u
#define MAX_PIECE      0x400000u /* asking a view costs something for each page */

#define E(name, off) PE_FIELD_SAME(struct pe_exports, name, off, 4)
static const struct pe_field fields[] = {
    E(characteristics, 0), E(time_date_stamp, 4), E(ordinal_base, 16), E(function_count, 20),
    E(name_count, 24),     E(functions_rva, 28),  E(names_rva, 32),    E(name_ordinals_rva, 36),
};

/*
 * How many of `count` entries of `size` bytes at `rva` lie inside the image. Nor can there be more
 * than the bytes that hold them: entries in zero fill are holes, or names of nothing.
 */
static uint32_t fitting(const struct pe_image *image, uint32_t rva, uint32_t size, uint32_t count)
{
    uint64_t limit = pe_limit(image);
    uint64_t room = rva && rva < limit ? limit - rva : 0;
    if (room > image->bytes.size)
        room = image->bytes.size;
    room /= size;
    if (room > PE_MAX_EXPORTS)
        room = PE_MAX_EXPORTS;
    return count < room ? count : (uint32_t)room;
}

/* What can be read at once of `size` bytes at `rva`; empty when that is nothing. */
static struct pe_run piece(const struct pe_image *image, uint32_t rva, uint32_t size)
{
    struct pe_span span = {NULL, 0};
    if (size > MAX_PIECE)
        size = MAX_PIECE;
    pe_rva_span(image, rva, size, &span);
    return (struct pe_run){span.data, (uint32_t)span.size};
}

bool pe_exports_open(const struct pe_image *image, struct pe_exports *out)
{
    struct pe_exports e = {.image = image, .module_name = {"", 0}};
    uint8_t buffer[DIRECTORY_SIZE];
    struct pe_span directory = {buffer, sizeof(buffer)};
    uint32_t name_rva = 0;
    if (!pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_EXPORT, &e.dir) ||
        !pe_rva_copy(image, e.dir.rva, buffer, sizeof(buffer)))
        return false;
    pe_decode(directory, fields, PE_ARRAY_SIZE(fields), false, &e);
    pe_u32(directory, 12, &name_rva);
    if (name_rva)
        pe_rva_str(image, name_rva, PE_MAX_MODULENAME, &e.module_name);
    e.function_count = fitting(image, e.functions_rva, 4, e.function_count);
    e.name_count = fitting(image, e.names_rva, 4, e.name_count);
    e.name_count = fitting(image, e.name_ordinals_rva, 2, e.name_count);
    e.functions = piece(image, e.functions_rva, e.function_count * 4);
    e.names = piece(image, e.names_rva, e.name_count * 4);
    e.name_ordinals = piece(image, e.name_ordinals_rva, e.name_count * 2);
    e.texts = piece(image, e.dir.rva, e.dir.size);
    *out = e;
    return true;
}

/* ---- table entries; the caller has checked the index ---- */

static inline bool function_at(const struct pe_exports *e, uint32_t i, uint32_t *rva)
{
    return pe_run_u32(&e->functions, i * 4, rva) ||
           pe_rva_u32(e->image, e->functions_rva + i * 4, rva);
}

static inline bool name_ordinal_at(const struct pe_exports *e, uint32_t i, uint16_t *index)
{
    return pe_run_u16(&e->name_ordinals, i * 2, index) ||
           pe_rva_u16(e->image, e->name_ordinals_rva + i * 2, index);
}

/* ---- exports ---- */

static bool name_at(const struct pe_exports *e, uint32_t i, struct pe_str *out)
{
    uint32_t rva;
    return i < e->name_count && pe_export_name_rva(e, i, &rva) &&
           pe_rva_str(e->image, rva, PE_MAX_NAME, out);
}

bool pe_export_unnamed(const struct pe_exports *e, uint32_t index, struct pe_export *out)
{
    uint32_t rva;
    if (index >= e->function_count || !function_at(e, index, &rva) || rva == 0)
        return false;
    out->forwarder = (struct pe_str){NULL, 0};
    /* The range that the directory declares decides, whatever the address points at. */
    if (rva - e->dir.rva < e->dir.size && !pe_rva_str(e->image, rva, PE_MAX_NAME, &out->forwarder))
        out->forwarder = (struct pe_str){"", 0};
    out->index = index;
    out->ordinal = index + e->ordinal_base;
    out->rva = rva;
    out->name = (struct pe_str){NULL, 0};
    out->hint = 0;
    return true;
}

bool pe_export_named(const struct pe_exports *e, uint32_t i, struct pe_str name,
                     struct pe_export *out)
{
    uint16_t index;
    if (!name_ordinal_at(e, i, &index) || !pe_export_unnamed(e, index, out))
        return false;
    out->name = name;
    out->hint = i;
    return true;
}

bool pe_export_by_name_index(const struct pe_exports *exports, uint32_t i, struct pe_export *out)
{
    struct pe_str name;
    return name_at(exports, i, &name) && pe_export_named(exports, i, name, out);
}

/* The first name-table entry that refers to `index` and can be read; name_count when there is none.
 */
static uint32_t first_name_of(const struct pe_exports *e, uint32_t index)
{
    uint16_t value;
    struct pe_str name;
    if (index > UINT16_MAX)
        return e->name_count;
    for (uint32_t i = 0; i < e->name_count; i++)
        if (name_ordinal_at(e, i, &value) && value == index && name_at(e, i, &name))
            return i;
    return e->name_count;
}

bool pe_export_by_index(const struct pe_exports *exports, uint32_t index, struct pe_export *out)
{
    struct pe_export x;
    if (!pe_export_unnamed(exports, index, &x))
        return false;
    uint32_t name = first_name_of(exports, index);
    if (name < exports->name_count && name_at(exports, name, &x.name))
        x.hint = name;
    *out = x;
    return true;
}

bool pe_export_by_ordinal(const struct pe_exports *exports, uint32_t ordinal, struct pe_export *out)
{
    /* The base may be "negative": the difference wraps as it does on Windows. */
    return pe_export_unnamed(exports, ordinal - exports->ordinal_base, out);
}
