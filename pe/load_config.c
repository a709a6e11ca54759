/*
 * The load configuration (PE specification, "The Load Configuration Structure"). It grew with every
 * Windows version; its own Size says how much of it there is, and fields beyond that are 0.
 */
#include "pe/dirs.h"
#include "pe/internal.h"

#define L4(name, off32, off64) PE_FIELD(struct pe_load_config, name, off32, 4, off64, 4)
#define LP(name, off32, off64) PE_FIELD(struct pe_load_config, name, off32, 4, off64, 8)
static const struct pe_field fields[] = {
    L4(size, 0, 0),
    L4(time_date_stamp, 4, 4),
    L4(global_flags_clear, 12, 12),
    L4(global_flags_set, 16, 16),
    L4(critical_section_default_timeout, 20, 20),
    LP(de_commit_free_block_threshold, 24, 24),
    LP(de_commit_total_free_threshold, 28, 32),
    PE_FIELD(struct pe_load_config, csd_version, 52, 2, 76, 2),
    LP(security_cookie, 60, 88),
    LP(se_handler_table, 64, 96),
    LP(se_handler_count, 68, 104),
    LP(guard_cf_check_function_pointer, 72, 112),
    LP(guard_cf_dispatch_function_pointer, 76, 120),
    LP(guard_cf_function_table, 80, 128),
    LP(guard_cf_function_count, 84, 136),
    L4(guard_flags, 88, 144),
};

bool pe_load_config_get(const struct pe_image *image, struct pe_load_config *out)
{
    uint8_t buffer[148];
    struct pe_directory dir;
    struct pe_load_config config = {0};
    uint32_t size;
    if (!pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, &dir) ||
        !pe_rva_u32(image, dir.rva, &size))
        return false;
    uint32_t known = size < sizeof(buffer) ? size : (uint32_t)sizeof(buffer);
    if (!pe_rva_copy(image, dir.rva, buffer, known))
        return false;
    pe_decode((struct pe_span){buffer, known}, fields, PE_ARRAY_SIZE(fields), image->h.pe32_plus,
              &config);
    config.size = size;
    *out = config;
    return true;
}
