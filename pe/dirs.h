/*
 * The smaller directories: TLS, load config, exception data, debug, resources (PE specification).
 * VA fields are given as in the file (relative to the preferred base) and as RVAs where inside.
 */
#ifndef PE_DIRS_H
#define PE_DIRS_H

#include "pe/image.h"

/* VA -> RVA by the image base that the headers hold; false when outside the image. */
bool pe_va_to_rva(const struct pe_image *image, uint64_t va, uint32_t *rva);

struct pe_tls {
    uint64_t start_address_of_raw_data, end_address_of_raw_data; /* VAs */
    uint64_t address_of_index, address_of_callbacks;             /* VAs */
    uint32_t size_of_zero_fill, characteristics;
    uint32_t alignment; /* from characteristics bits 20-23; 0 = none said */
};
/* False when absent or outside the image. */
bool pe_tls_get(const struct pe_image *image, struct pe_tls *out);
/* Callback `i` as a VA: 1 = there is one, 0 = end of the array, -1 = outside the image. */
int pe_tls_callback(const struct pe_image *image, const struct pe_tls *tls, uint32_t i,
                    uint64_t *va);

struct pe_load_config {
    uint32_t size; /* the structure's own Size: fields beyond it are 0 */
    uint32_t time_date_stamp;
    uint32_t global_flags_clear, global_flags_set;
    uint32_t critical_section_default_timeout;                               /* milliseconds */
    uint64_t de_commit_free_block_threshold, de_commit_total_free_threshold; /* bytes */
    uint16_t csd_version;                        /* of the service pack: major << 8 | minor */
    uint64_t security_cookie;                    /* VA */
    uint64_t se_handler_table, se_handler_count; /* PE32: VA and count */
    uint64_t guard_cf_check_function_pointer, guard_cf_dispatch_function_pointer; /* VAs */
    uint64_t guard_cf_function_table, guard_cf_function_count;
    uint32_t guard_flags;
};
bool pe_load_config_get(const struct pe_image *image, struct pe_load_config *out);

/* x64 RUNTIME_FUNCTION (exception directory). */
struct pe_runtime_function {
    uint32_t begin, end, unwind_info; /* RVAs */
};
uint32_t pe_runtime_function_count(const struct pe_image *image);
bool pe_runtime_function_at(const struct pe_image *image, uint32_t i,
                            struct pe_runtime_function *out);

struct pe_debug_entry {
    uint32_t time_date_stamp, type, size_of_data;
    uint32_t address_of_raw_data; /* RVA */
    uint32_t pointer_to_raw_data; /* file offset */
    struct pe_str pdb_path;       /* CodeView RSDS/NB10 only */
};
uint32_t pe_debug_count(const struct pe_image *image);
bool pe_debug_at(const struct pe_image *image, uint32_t i, struct pe_debug_entry *out);
const char *pe_debug_type_name(uint32_t type);

/*
 * Resources: a tree of tables, three levels by convention (type, name, language). Offsets are
 * relative to the directory's RVA. Loops are the walker's business: cap the depth.
 */
#define PE_RESOURCE_MAX_DEPTH 8
struct pe_resource_dir {
    const struct pe_image *image;
    uint32_t root_rva;
    uint32_t offset;
    uint16_t named_count, id_count;
};
struct pe_resource_entry {
    bool named;
    uint16_t id;
    uint32_t name_rva; /* UTF-16LE characters */
    uint16_t name_len; /* in characters */
    bool is_dir;
    uint32_t offset; /* of the sub-table or of the data entry */
};
struct pe_resource_data {
    uint32_t rva, size, code_page;
};
bool pe_resource_root(const struct pe_image *image, struct pe_resource_dir *out);
bool pe_resource_entry_at(const struct pe_resource_dir *dir, uint32_t i,
                          struct pe_resource_entry *out);
bool pe_resource_enter(const struct pe_resource_dir *dir, const struct pe_resource_entry *entry,
                       struct pe_resource_dir *out);
bool pe_resource_data_of(const struct pe_resource_dir *dir, const struct pe_resource_entry *entry,
                         struct pe_resource_data *out);
/*
 * Finds an entry by id, or by name (UTF-16) when `name` is not NULL: it is converted to upper case,
 * as names are stored.
 */
bool pe_resource_find(const struct pe_resource_dir *dir, const uint16_t *name, uint32_t name_len,
                      uint16_t id, struct pe_resource_entry *out);

#endif
