/*
 * The name table as exports.c and export_names.c share it.
 */
#ifndef PE_EXPORTS_INTERNAL_H
#define PE_EXPORTS_INTERNAL_H

#include "pe/exports.h"

/* Where the name at `i` < name_count lies; false when the entry cannot be read. */
static inline bool pe_export_name_rva(const struct pe_exports *e, uint32_t i, uint32_t *rva)
{
    return pe_run_u32(&e->names, i * 4, rva) || pe_rva_u32(e->image, e->names_rva + i * 4, rva);
}

/* What the name-table entry `i`, which is `name`, refers to; false for a hole. */
bool pe_export_named(const struct pe_exports *e, uint32_t i, struct pe_str name,
                     struct pe_export *out);

#endif
