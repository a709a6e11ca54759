/*
 * Opening an image: from bytes to decoded headers (PE specification, "File Headers").
 *
 * Only what cannot be read at all is refused here, with the statuses that NtCreateSection gives
 * (facts 1.5), the pre-NT formats behind an MZ header included. Whether Windows would map an image
 * that can be read is the business of the rule table.
 */
#include "pe/dirs.h"
#include "pe/rules_internal.h"

#include <string.h>

#define COFF_HEADER_SIZE     24u  /* with the signature */
#define OPTIONAL_HEADER_SIZE 240u /* of PE32+ with 16 directories, the larger form */

#define H(name, off, width) PE_FIELD_SAME(struct pe_headers, name, off, width)
#define H2(name, off32, width32, off64, width64) \
    PE_FIELD(struct pe_headers, name, off32, width32, off64, width64)

/* Offsets from the signature. */
static const struct pe_field coff_fields[] = {
    H(machine, 4, 2),
    H(number_of_sections, 6, 2),
    H(time_date_stamp, 8, 4),
    H(pointer_to_symbol_table, 12, 4),
    H(number_of_symbols, 16, 4),
    H(size_of_optional_header, 20, 2),
    H(characteristics, 22, 2),
};

/* Offsets from the optional header's magic. */
static const struct pe_field optional_fields[] = {
    H(magic, 0, 2),
    H(major_linker_version, 2, 1),
    H(minor_linker_version, 3, 1),
    H(size_of_code, 4, 4),
    H(size_of_initialized_data, 8, 4),
    H(size_of_uninitialized_data, 12, 4),
    H(address_of_entry_point, 16, 4),
    H(base_of_code, 20, 4),
    H2(base_of_data, 24, 4, 0, 0),
    H2(image_base, 28, 4, 24, 8),
    H(section_alignment, 32, 4),
    H(file_alignment, 36, 4),
    H(major_os_version, 40, 2),
    H(minor_os_version, 42, 2),
    H(major_image_version, 44, 2),
    H(minor_image_version, 46, 2),
    H(major_subsystem_version, 48, 2),
    H(minor_subsystem_version, 50, 2),
    H(win32_version_value, 52, 4),
    H(size_of_image, 56, 4),
    H(size_of_headers, 60, 4),
    H(checksum, 64, 4),
    H(subsystem, 68, 2),
    H(dll_characteristics, 70, 2),
    H2(size_of_stack_reserve, 72, 4, 72, 8),
    H2(size_of_stack_commit, 76, 4, 80, 8),
    H2(size_of_heap_reserve, 80, 4, 88, 8),
    H2(size_of_heap_commit, 84, 4, 96, 8),
    H2(loader_flags, 88, 4, 104, 4),
    H2(number_of_rva_and_sizes, 92, 4, 108, 4),
};

/* NumberOfRvaAndSizes may say anything; Windows reads at most 16 (behaviours, Headers). */
static void decode_directories(struct pe_span optional, struct pe_headers *h)
{
    uint64_t off = h->pe32_plus ? 112 : 96;
    for (uint32_t i = 0; i < PE_DIRECTORY_COUNT && i < h->number_of_rva_and_sizes; i++, off += 8) {
        pe_u32(optional, off, &h->directory[i].rva);
        pe_u32(optional, off + 4, &h->directory[i].size);
    }
}

/*
 * Everything that can be read of the headers. Those that the file cuts short are completed with
 * zeroes, as Windows reads them through a zero-filled page (behaviours, Headers: the 97-byte
 * image); the rules then say what is too short.
 */
static void decode_headers(struct pe_span bytes, struct pe_headers *h)
{
    uint8_t buffer[COFF_HEADER_SIZE + OPTIONAL_HEADER_SIZE] = {0};
    struct pe_span coff = {buffer, COFF_HEADER_SIZE}, optional = {0};
    pe_u32(bytes, 0x3c, &h->e_lfanew);
    pe_copy_some(bytes, h->e_lfanew, buffer, sizeof(buffer));
    pe_sub((struct pe_span){buffer, sizeof(buffer)}, COFF_HEADER_SIZE, OPTIONAL_HEADER_SIZE,
           &optional);
    pe_decode(coff, coff_fields, PE_ARRAY_SIZE(coff_fields), false, h);
    pe_u16(optional, 0, &h->magic);
    h->pe32_plus = h->magic == 0x20b;
    pe_decode(optional, optional_fields, PE_ARRAY_SIZE(optional_fields), h->pe32_plus, h);
    decode_directories(optional, h);
    h->optional_header_offset = (uint64_t)h->e_lfanew + COFF_HEADER_SIZE;
    h->section_table_offset = h->optional_header_offset + h->size_of_optional_header;
}

struct pe_image pe_read(struct pe_span bytes, enum pe_layout layout)
{
    struct pe_image image = {.bytes = bytes,
                             .layout = layout,
                             .windows = PE_WINDOWS_10,
                             .file_size = layout == PE_LAYOUT_FILE ? bytes.size : 0};
    decode_headers(bytes, &image.h);
    image.sections_rise = layout == PE_LAYOUT_MAPPED || pe_sections_rise(&image);
    return image;
}

/* The rules without which there is nothing to read, in the order of reading. */
static nt_status check_readable(const struct pe_image *image, struct pe_error *err)
{
    uint32_t signature;
    struct pe_finding found;
    const char *id = NULL;
    if (!pe_rule_dos_magic(image, &found))
        id = "dos.magic";
    else if (!pe_u32(image->bytes, image->h.e_lfanew, &signature))
        pe_rule_lfanew_range(image, &found), id = "dos.lfanew.range";
    else if (!pe_rule_nt_signature(image, &found))
        return pe_rule_refuse_as(err, pe_foreign_status(image), pe_rule_find(image, "nt.signature"),
                                 found.text);
    else if (image->h.magic != 0x10b && image->h.magic != 0x20b)
        pe_rule_opt_magic(image, &found), id = "opt.magic";
    return id ? pe_rule_refuse(err, pe_rule_find(image, id), found.text) : STATUS_SUCCESS;
}

nt_status pe_open(struct pe_span bytes, enum pe_layout layout, struct pe_image *out,
                  struct pe_error *err)
{
    struct pe_image image = pe_read(bytes, layout);
    if (bytes.size == 0)
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "the file is empty");
    nt_status status = check_readable(&image, err);
    if (nt_ok(status))
        *out = image;
    return status;
}

nt_status pe_admit(struct pe_span bytes, enum pe_windows windows, struct pe_image *out,
                   struct pe_error *err)
{
    struct pe_image image = pe_read(bytes, PE_LAYOUT_FILE);
    image.windows = windows;
    if (bytes.size == 0)
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "the file is empty");
    nt_status status =
        pe_rules_check(&image, (struct pe_rule_query){PE_STAGE_SECTION, PE_ROLE_ANY}, err);
    if (nt_ok(status))
        *out = image;
    return status;
}

/* ---- what the user-mode loader sees ---------------------------------------------------------- */

void pe_directories_as_mapped(struct pe_image *image)
{
    uint8_t buffer[OPTIONAL_HEADER_SIZE] = {0};
    struct pe_span optional = {buffer, sizeof(buffer)};
    uint64_t at = image->h.optional_header_offset;
    if (at + sizeof(buffer) > pe_limit(image) ||
        !pe_rva_copy(image, (uint32_t)at, buffer, sizeof(buffer)))
        return;
    struct pe_headers mapped = {.pe32_plus = image->h.pe32_plus};
    pe_decode(optional, optional_fields, PE_ARRAY_SIZE(optional_fields), mapped.pe32_plus, &mapped);
    decode_directories(optional, &mapped);
    image->h.number_of_rva_and_sizes = mapped.number_of_rva_and_sizes;
    memcpy(image->h.directory, mapped.directory, sizeof(mapped.directory));
}

uint64_t pe_header_offset(const struct pe_image *image, size_t member)
{
    for (size_t i = 0; i < PE_ARRAY_SIZE(coff_fields); i++)
        if (coff_fields[i].member == member)
            return (uint64_t)image->h.e_lfanew + coff_fields[i].offset[0];
    for (size_t i = 0; i < PE_ARRAY_SIZE(optional_fields); i++)
        if (optional_fields[i].member == member)
            return image->h.optional_header_offset + optional_fields[i].offset[image->h.pe32_plus];
    return UINT64_MAX;
}

bool pe_is_flat(const struct pe_image *image)
{
    return image->h.section_alignment < PE_PAGE_SIZE;
}

uint32_t pe_mapped_size(const struct pe_image *image)
{
    uint64_t size = pe_round_up(image->h.size_of_image, PE_PAGE_SIZE);
    return size > UINT32_MAX ? 0 : (uint32_t)size;
}

uint32_t pe_pointer_size(const struct pe_image *image)
{
    return image->h.pe32_plus ? 8 : 4;
}

bool pe_directory_get(const struct pe_image *image, enum pe_directory_index index,
                      struct pe_directory *out)
{
    if ((unsigned)index >= PE_DIRECTORY_COUNT || index == IMAGE_DIRECTORY_ENTRY_SECURITY)
        return false;
    struct pe_directory dir = image->h.directory[index];
    uint64_t limit = pe_limit(image);
    if (dir.rva == 0 || dir.rva >= limit)
        return false;
    if (dir.size > limit - dir.rva)
        dir.size = (uint32_t)(limit - dir.rva);
    *out = dir;
    return true;
}

bool pe_va_to_rva(const struct pe_image *image, uint64_t va, uint32_t *rva)
{
    uint64_t offset = va - image->h.image_base;
    if (va < image->h.image_base || offset >= pe_limit(image))
        return false;
    *rva = (uint32_t)offset;
    return true;
}
