/*
 * Opening an image: from bytes to decoded headers (PE specification, "File Headers").
 *
 * Only what cannot be read at all is refused here, with the statuses that NtCreateSection gives
 * (facts 1.5), the pre-NT formats behind an MZ header included. Whether Windows would map an image
 * that can be read is the business of rules.c.
 */
#include "pe/dirs.h"
#include "pe/internal.h"

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

/* What stands behind the MZ header when it is not a PE signature (facts 1.5). */
static nt_status foreign_signature(struct pe_span bytes, uint32_t lfanew, struct pe_error *err)
{
    uint16_t signature = 0;
    uint8_t exetyp = 0;
    pe_u16(bytes, lfanew, &signature);
    if (signature == 0x454e && pe_u8(bytes, (uint64_t)lfanew + 0x36, &exetyp)) { /* NE */
        if (exetyp == 2)
            return pe_fail(err, STATUS_INVALID_IMAGE_WIN_16, "a 16-bit Windows image (NE)");
        if (exetyp != 5)
            return pe_fail(err, STATUS_INVALID_IMAGE_NE_FORMAT, "a 16-bit image (NE)");
    }
    if (signature == 0x454c) /* LE */
        return pe_fail(err, STATUS_INVALID_IMAGE_LE_FORMAT, "a linear executable (LE)");
    return pe_fail_rule(err, STATUS_INVALID_IMAGE_PROTECT, "nt.signature",
                        "no PE signature at e_lfanew 0x%x", lfanew);
}

static nt_status check_signatures(struct pe_span bytes, uint32_t *lfanew, struct pe_error *err)
{
    uint16_t magic;
    uint32_t signature;
    if (bytes.size == 0)
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "the file is empty");
    if (!pe_u16(bytes, 0, &magic) || magic != 0x5a4d)
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_NOT_MZ, "dos.magic", "no MZ signature");
    if (!pe_u32(bytes, 0x3c, lfanew) || *lfanew >= bytes.size)
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_PROTECT, "dos.lfanew.range",
                            "e_lfanew lies outside the file of %llu bytes",
                            (unsigned long long)bytes.size);
    if (!pe_u32(bytes, *lfanew, &signature) || signature != 0x4550)
        return foreign_signature(bytes, *lfanew, err);
    return STATUS_SUCCESS;
}

/*
 * Headers that the file cuts short are completed with zeroes, as Windows reads them through a
 * zero-filled page (behaviours, Headers: the 97-byte image); rules.c then says what is too short.
 */
static nt_status decode_headers(struct pe_span bytes, struct pe_headers *h, struct pe_error *err)
{
    uint8_t buffer[COFF_HEADER_SIZE + OPTIONAL_HEADER_SIZE] = {0};
    struct pe_span coff = {buffer, COFF_HEADER_SIZE}, optional = {0};
    pe_copy_some(bytes, h->e_lfanew, buffer, sizeof(buffer));
    pe_sub((struct pe_span){buffer, sizeof(buffer)}, COFF_HEADER_SIZE, OPTIONAL_HEADER_SIZE,
           &optional);
    pe_decode(coff, coff_fields, PE_ARRAY_SIZE(coff_fields), false, h);
    pe_u16(optional, 0, &h->magic);
    if (h->magic != 0x10b && h->magic != 0x20b)
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_FORMAT, "opt.magic",
                            "the optional header's magic is 0x%x, not 0x10b or 0x20b", h->magic);
    h->pe32_plus = h->magic == 0x20b;
    pe_decode(optional, optional_fields, PE_ARRAY_SIZE(optional_fields), h->pe32_plus, h);
    decode_directories(optional, h);
    h->optional_header_offset = (uint64_t)h->e_lfanew + COFF_HEADER_SIZE;
    h->section_table_offset = h->optional_header_offset + h->size_of_optional_header;
    return STATUS_SUCCESS;
}

nt_status pe_open(struct pe_span bytes, enum pe_layout layout, struct pe_image *out,
                  struct pe_error *err)
{
    struct pe_image image = {.bytes = bytes, .layout = layout};
    nt_status status = check_signatures(bytes, &image.h.e_lfanew, err);
    if (nt_ok(status))
        status = decode_headers(bytes, &image.h, err);
    if (!nt_ok(status))
        return status;
    /* A mapped header need not hold the table: see file_headers. */
    if (layout == PE_LAYOUT_FILE && image.h.number_of_sections &&
        image.h.section_table_offset >= bytes.size)
        return pe_fail_rule(err, STATUS_INVALID_IMAGE_FORMAT, "sections.table.file",
                            "the section table at 0x%llx lies outside the file",
                            (unsigned long long)image.h.section_table_offset);
    image.sections_rise = layout == PE_LAYOUT_MAPPED || pe_sections_rise(&image);
    *out = image;
    return STATUS_SUCCESS;
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
