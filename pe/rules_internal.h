/*
 * What the files of the rule table share: a function per rule (rules_section.c, rules_process.c),
 * and how a function says what it found.
 */
#ifndef PE_RULES_INTERNAL_H
#define PE_RULES_INTERNAL_H

#include "pe/internal.h"
#include "pe/rules.h"

/* The field that breaks a rule. */
struct pe_place {
    const char *field;
    int32_t section; /* index of the PE section whose field it is, or -1 */
    uint64_t offset; /* in the file */
    uint64_t value;
};

/* A field of the file header or the optional header, by its name in struct pe_headers. */
#define PE_HEADER_PLACE(image, name, member)                                                   \
    ((struct pe_place){name, -1, pe_header_offset(image, offsetof(struct pe_headers, member)), \
                       (image)->h.member})

enum pe_section_field {
    PE_AT_VIRTUAL_SIZE = 8,
    PE_AT_VIRTUAL_ADDRESS = 12,
    PE_AT_RAW_SIZE = 16,
    PE_AT_RAW_POINTER = 20,
    PE_AT_CHARACTERISTICS = 36,
};
struct pe_place pe_section_place(const struct pe_image *image, uint32_t index,
                                 enum pe_section_field field);
/* The address, or the size, of a data directory. */
struct pe_place pe_directory_place(const struct pe_image *image, enum pe_directory_index index,
                                   bool size);
struct pe_place pe_file_size_place(const struct pe_image *image);

/* Fills `found` and returns false, so that `return holds || pe_broken(...)` reads well. */
bool pe_broken(struct pe_finding *found, struct pe_place place, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "size(s)" of the facts sheet: VirtualSize, or SizeOfRawData where that is 0. */
static inline uint64_t pe_section_size(const struct pe_section *s)
{
    return s->virtual_size ? s->virtual_size : s->size_of_raw_data;
}

/* The status for an image without a PE signature. */
nt_status pe_foreign_status(const struct pe_image *image);

#define PE_RULE_FUNCTION(name) bool pe_rule_##name(const struct pe_image *, struct pe_finding *)
PE_RULE_FUNCTION(file_size);
PE_RULE_FUNCTION(dos_magic);
PE_RULE_FUNCTION(lfanew_range);
PE_RULE_FUNCTION(lfanew_last_page);
PE_RULE_FUNCTION(lfanew_aligned);
PE_RULE_FUNCTION(nt_signature);
PE_RULE_FUNCTION(nt_not_empty);
PE_RULE_FUNCTION(nt_executable);
PE_RULE_FUNCTION(opt_magic);
PE_RULE_FUNCTION(opt_file_alignment);
PE_RULE_FUNCTION(opt_section_alignment);
PE_RULE_FUNCTION(opt_size_of_image);
PE_RULE_FUNCTION(opt_size_of_headers);
PE_RULE_FUNCTION(opt_image_base);
PE_RULE_FUNCTION(opt_headers_total_7);
PE_RULE_FUNCTION(opt_headers_total_10);
PE_RULE_FUNCTION(opt_headers_pages);
PE_RULE_FUNCTION(sections_count_max);
PE_RULE_FUNCTION(sections_table_file);
PE_RULE_FUNCTION(sections_table_page);
PE_RULE_FUNCTION(la_machine);
PE_RULE_FUNCTION(sections_some);
PE_RULE_FUNCTION(sections_contiguous);
PE_RULE_FUNCTION(sections_not_empty);
PE_RULE_FUNCTION(sections_fit);
PE_RULE_FUNCTION(sections_no_wrap);
PE_RULE_FUNCTION(sections_raw_in_file);
PE_RULE_FUNCTION(sections_last_raw);
PE_RULE_FUNCTION(la_flat);

PE_RULE_FUNCTION(exe_not_dll);
PE_RULE_FUNCTION(exe_subsystem);
PE_RULE_FUNCTION(exe_subsystem_version);
PE_RULE_FUNCTION(exe_load_config);
PE_RULE_FUNCTION(exe_headers_mapped);
PE_RULE_FUNCTION(exe_reloc_directory);
PE_RULE_FUNCTION(ldr_entry);
PE_RULE_FUNCTION(ldr_end);
PE_RULE_FUNCTION(ldr_unmapped_sections);
PE_RULE_FUNCTION(tls_inside);
PE_RULE_FUNCTION(imports_size);
PE_RULE_FUNCTION(debug_low_alignment);
PE_RULE_FUNCTION(cert_inside);
PE_RULE_FUNCTION(headers_probe);
PE_RULE_FUNCTION(loadcfg_modern);
PE_RULE_FUNCTION(loadcfg_guard_table);
#undef PE_RULE_FUNCTION

#endif
