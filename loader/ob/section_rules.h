/*
 * The rules of NtCreateSection and NtMapViewOfSection that need no object (internal to ob/):
 * protections, attributes, rights (facts 4.1, 4.2; Microsoft's CreateFileMapping and MapViewOfFile
 * pages).
 */
#ifndef OB_SECTION_RULES_H
#define OB_SECTION_RULES_H

#include "loader/ob/section.h"

/* STATUS_INVALID_PAGE_PROTECTION for what no section can be made with. */
nt_status ob_section_check_protect(uint32_t protect, struct pe_error *err);
/*
 * STATUS_INVALID_PARAMETER_6 for SEC_* that do not go together, or not with that kind of section;
 * STATUS_INVALID_FILE_FOR_SECTION for an image without a file; STATUS_PRIVILEGE_NOT_HELD for large
 * pages.
 */
nt_status ob_section_check_attributes(uint32_t attributes, bool has_file, struct pe_error *err);
/* Whether the rights of a file handle are enough for a section of that protection. */
bool ob_section_file_suffices(const struct ob_section_create *how);
/* Whether the pages of such a section are written back to its file. */
bool ob_section_writes(uint32_t protect);
/* The SECTION_MAP_* rights that a view needs of its handle; 0 = no view has that protection. */
uint32_t ob_section_rights(uint32_t view_protect);

#endif
