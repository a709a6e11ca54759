/*
 * The resource tree (PE specification, .rsrc): tables of entries by name or id, whose leaves say
 * where the data lies. Offsets count from the directory's begin, data RVAs from the image's. The
 * directory's size plays no part (behaviours, Resources), and a tree may contain loops: depth is
 * the walker's cap.
 */
#include "pe/dirs.h"
#include "pe/internal.h"

#define TABLE_SIZE 16u
#define ENTRY_SIZE 8u
#define HIGH_BIT   0x80000000u

/* No more entries than the bytes that hold them: what zero fill adds would all be the same. */
static void cut_counts(struct pe_resource_dir *dir, uint64_t rva)
{
    uint64_t room = pe_limit(dir->image) - rva - TABLE_SIZE;
    if (room > dir->image->bytes.size)
        room = dir->image->bytes.size;
    room /= ENTRY_SIZE;
    if (dir->named_count > room)
        dir->named_count = (uint16_t)room;
    if (dir->id_count > room - dir->named_count)
        dir->id_count = (uint16_t)(room - dir->named_count);
}

static bool open_table(const struct pe_image *image, uint32_t root, uint32_t offset,
                       struct pe_resource_dir *out)
{
    struct pe_resource_dir dir = {.image = image, .root_rva = root, .offset = offset};
    uint64_t rva = (uint64_t)root + offset;
    if (rva > UINT32_MAX - TABLE_SIZE || !pe_rva_u16(image, (uint32_t)rva + 12, &dir.named_count) ||
        !pe_rva_u16(image, (uint32_t)rva + 14, &dir.id_count))
        return false;
    cut_counts(&dir, rva);
    *out = dir;
    return true;
}

bool pe_resource_root(const struct pe_image *image, struct pe_resource_dir *out)
{
    struct pe_directory dir;
    return pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_RESOURCE, &dir) &&
           open_table(image, dir.rva, 0, out);
}

/* Name strings are a count and UTF-16 characters. */
static bool name_of(const struct pe_resource_dir *dir, uint32_t offset, struct pe_resource_entry *e)
{
    uint64_t rva = (uint64_t)dir->root_rva + offset;
    if (rva > UINT32_MAX - 2 || !pe_rva_u16(dir->image, (uint32_t)rva, &e->name_len))
        return false;
    e->name_rva = (uint32_t)rva + 2;
    return true;
}

bool pe_resource_entry_at(const struct pe_resource_dir *dir, uint32_t i,
                          struct pe_resource_entry *out)
{
    struct pe_resource_entry e = {0};
    uint64_t rva = (uint64_t)dir->root_rva + dir->offset + TABLE_SIZE + (uint64_t)i * ENTRY_SIZE;
    uint32_t name, offset;
    if (i >= (uint32_t)dir->named_count + dir->id_count || rva > UINT32_MAX - ENTRY_SIZE ||
        !pe_rva_u32(dir->image, (uint32_t)rva, &name) ||
        !pe_rva_u32(dir->image, (uint32_t)rva + 4, &offset))
        return false;
    e.named = name & HIGH_BIT;
    e.id = e.named ? 0 : (uint16_t)name;
    if (e.named && !name_of(dir, name & ~HIGH_BIT, &e))
        return false;
    e.is_dir = offset & HIGH_BIT;
    e.offset = offset & ~HIGH_BIT;
    *out = e;
    return true;
}

bool pe_resource_enter(const struct pe_resource_dir *dir, const struct pe_resource_entry *entry,
                       struct pe_resource_dir *out)
{
    return entry->is_dir && open_table(dir->image, dir->root_rva, entry->offset, out);
}

bool pe_resource_data_of(const struct pe_resource_dir *dir, const struct pe_resource_entry *entry,
                         struct pe_resource_data *out)
{
    struct pe_resource_data data;
    uint64_t rva = (uint64_t)dir->root_rva + entry->offset;
    if (entry->is_dir || rva > UINT32_MAX - 16 ||
        !pe_rva_u32(dir->image, (uint32_t)rva, &data.rva) ||
        !pe_rva_u32(dir->image, (uint32_t)rva + 4, &data.size) ||
        !pe_rva_u32(dir->image, (uint32_t)rva + 8, &data.code_page))
        return false;
    *out = data;
    return true;
}

/* Simple upper-casing of the letters that resource names are made of; others stay as they are. */
static uint16_t upper(uint16_t c)
{
    static const struct {
        uint16_t first, last, minus;
    } ranges[] = {
        {'a', 'z', 32},     {0xe0, 0xf6, 32},   {0xf8, 0xfe, 32},   {0x3b1, 0x3c1, 32},
        {0x3c3, 0x3cb, 32}, {0x430, 0x44f, 32}, {0x450, 0x45f, 80},
    };
    for (size_t i = 0; i < PE_ARRAY_SIZE(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return (uint16_t)(c - ranges[i].minus);
    return c;
}

/* Names are stored in upper case: only what is looked for is converted. */
static bool same_name(const struct pe_image *image, const struct pe_resource_entry *e,
                      const uint16_t *name, uint32_t name_len)
{
    uint16_t c;
    if (e->name_len != name_len)
        return false;
    for (uint32_t i = 0; i < name_len; i++)
        if (!pe_rva_u16(image, e->name_rva + i * 2, &c) || c != upper(name[i]))
            return false;
    return true;
}

bool pe_resource_find(const struct pe_resource_dir *dir, const uint16_t *name, uint32_t name_len,
                      uint16_t id, struct pe_resource_entry *out)
{
    struct pe_resource_entry e;
    for (uint32_t i = 0; pe_resource_entry_at(dir, i, &e); i++) {
        bool same =
            name ? e.named && same_name(dir->image, &e, name, name_len) : !e.named && e.id == id;
        if (same) {
            *out = e;
            return true;
        }
    }
    return false;
}
