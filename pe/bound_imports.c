/*
 * New-style bound imports (directory 11; PE specification and facts 3.6): a cache of which modules,
 * with which time stamps, the addresses in the IAT were computed from. Names are offsets from the
 * directory's begin. Each module may be followed by references to those that it forwards to.
 */
#include "pe/imports.h"
#include "pe/internal.h"

#define ENTRY_SIZE 8u

bool pe_bound_imports(const struct pe_image *image, struct pe_bound_import_iter *it)
{
    *it = (struct pe_bound_import_iter){.image = image};
    return pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, &it->dir);
}

int pe_bound_import_next(struct pe_bound_import_iter *it, struct pe_bound_import *out)
{
    uint8_t buffer[ENTRY_SIZE];
    struct pe_span entry = {buffer, sizeof(buffer)};
    struct pe_bound_import b = {.forwarder_ref = it->refs_left > 0};
    uint16_t name = 0, refs = 0;
    if (it->off > it->dir.size || it->dir.size - it->off < ENTRY_SIZE)
        return 0;
    if (!pe_rva_copy(it->image, it->dir.rva + it->off, buffer, sizeof(buffer)))
        return -1;
    pe_u32(entry, 0, &b.time_date_stamp);
    pe_u16(entry, 4, &name);
    pe_u16(entry, 6, &refs);
    if (!b.forwarder_ref && b.time_date_stamp == 0 && name == 0)
        return 0;
    if (!pe_rva_str(it->image, it->dir.rva + name, PE_MAX_MODULENAME, &b.name))
        return -1;
    it->off += ENTRY_SIZE;
    it->refs_left = b.forwarder_ref ? (uint16_t)(it->refs_left - 1) : refs;
    *out = b;
    return 1;
}
