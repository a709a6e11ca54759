/*
 * The rules of section creation (stage 1): what the kernel asks of headers and section table before
 * anything is mapped. Facts: loader-rules, stage 1; behaviours, Headers and Sections.
 */
#include <inttypes.h>

#include "pe/rules_internal.h"

#define NT_HEADERS_32   0xf8u  /* sizeof(IMAGE_NT_HEADERS32) */
#define NT_HEADERS_XP   0x5du  /* through the first byte of Subsystem */
#define NT_HEADERS_64   0x108u /* sizeof(IMAGE_NT_HEADERS64) */
#define MAX_PE32_SIZE   0x77000000u
#define MAX_SECTIONS_XP 96u

#define RULE(name) bool pe_rule_##name(const struct pe_image *image, struct pe_finding *found)

static bool power_of_two(uint32_t value)
{
    return value && !(value & (value - 1));
}

/* SectionAlignment; a page where it is none, so that what follows is not blamed for that too. */
static uint32_t unit(const struct pe_image *image)
{
    uint32_t alignment = image->h.section_alignment;
    return power_of_two(alignment) ? alignment : PE_PAGE_SIZE;
}

/* "nt" of the facts sheet: signature, file header and optional header. */
static uint64_t nt_size(const struct pe_image *image)
{
    return 24u + (uint64_t)image->h.size_of_optional_header;
}

static uint64_t table_size(const struct pe_image *image)
{
    return (uint64_t)image->h.number_of_sections * PE_SECTION_HEADER_SIZE;
}

/* Where the headers end and the first PE section begins. */
static uint64_t headers_end(const struct pe_image *image)
{
    return pe_round_up(image->h.size_of_headers, unit(image));
}

/*
 * PE section `i` as far as Windows looks at it: XP looks at the first one of a low-alignment image
 * only, which may also stand outside the file and then reads as zeroes (behaviours, Headers).
 */
static bool asked(const struct pe_image *image, uint32_t i, struct pe_section *s)
{
    bool first_only = image->windows == PE_WINDOWS_XP && pe_is_flat(image);
    return !(first_only && i > 0) && pe_section_at(image, i, s);
}

/* Rule sections.raw_zero: 10 takes PointerToRawData as 0 where there is no raw data. */
static uint32_t raw_pointer(const struct pe_image *image, const struct pe_section *s)
{
    bool ignored = image->windows == PE_WINDOWS_10 && s->size_of_raw_data == 0;
    return ignored ? 0 : s->pointer_to_raw_data;
}

/* ---- the file and its headers ---------------------------------------------------------------- */

RULE(file_size)
{
    return image->file_size <= UINT32_MAX ||
           pe_broken(found, pe_file_size_place(image), "the file has %" PRIu64 " bytes",
                     image->file_size);
}

static struct pe_place lfanew_place(const struct pe_image *image)
{
    return (struct pe_place){"e_lfanew", -1, 0x3c, image->h.e_lfanew};
}

static bool has_magic(const struct pe_image *image, uint16_t *magic)
{
    *magic = 0;
    return pe_u16(image->bytes, 0, magic) && *magic == 0x5a4d;
}

RULE(dos_magic)
{
    uint16_t magic;
    return has_magic(image, &magic) || pe_broken(found, (struct pe_place){"e_magic", -1, 0, magic},
                                                 "the first two bytes are 0x%x", magic);
}

/*
 * 64-bit Windows 7 reads as much as PE32+ has, also of a PE32 image (behaviours, Headers: W7-64).
 * To XP 97 bytes are a DLL, which end inside Subsystem (behaviours, DLL loading: XP).
 */
static uint64_t nt_headers_end(const struct pe_image *image)
{
    bool wide = image->h.pe32_plus || image->windows == PE_WINDOWS_7;
    bool xp = !wide && image->windows == PE_WINDOWS_XP;
    return (uint64_t)image->h.e_lfanew + (wide ? NT_HEADERS_64
                                          : xp ? NT_HEADERS_XP
                                               : NT_HEADERS_32);
}

RULE(lfanew_range)
{
    uint64_t end = nt_headers_end(image);
    return (end <= UINT32_MAX && end <= image->file_size) ||
           pe_broken(found, lfanew_place(image),
                     "NT headers at 0x%x end at 0x%" PRIx64 ", the file has 0x%" PRIx64 " bytes",
                     image->h.e_lfanew, end, image->file_size);
}

RULE(lfanew_last_page)
{
    uint64_t end = (uint64_t)image->h.e_lfanew + NT_HEADERS_32;
    uint64_t whole = image->file_size & ~(uint64_t)(PE_PAGE_SIZE - 1);
    return end <= whole || end < PE_PAGE_SIZE ||
           pe_broken(found, lfanew_place(image),
                     "the NT headers at 0x%x reach into the file's last, partial page",
                     image->h.e_lfanew);
}

RULE(lfanew_aligned)
{
    return image->h.e_lfanew % 4 == 0 ||
           pe_broken(found, lfanew_place(image), "e_lfanew is 0x%x", image->h.e_lfanew);
}

RULE(nt_signature)
{
    uint32_t signature = 0;
    bool readable = pe_u32(image->bytes, image->h.e_lfanew, &signature);
    if (readable && signature == 0x4550)
        return true;
    return pe_broken(found, (struct pe_place){"Signature", -1, image->h.e_lfanew, signature},
                     readable ? "there is 0x%x at e_lfanew 0x%x instead of a PE signature"
                              : "0x%x: e_lfanew 0x%x is outside the file",
                     signature, image->h.e_lfanew);
}

/* The pre-NT formats behind an MZ header have statuses of their own (facts 1.5). */
nt_status pe_foreign_status(const struct pe_image *image)
{
    uint16_t signature = 0;
    uint8_t exetyp;
    pe_u16(image->bytes, image->h.e_lfanew, &signature);
    if (signature == 0x454c) /* LE */
        return STATUS_INVALID_IMAGE_LE_FORMAT;
    if (signature != 0x454e || /* NE */
        !pe_u8(image->bytes, (uint64_t)image->h.e_lfanew + 0x36, &exetyp) || exetyp == 5)
        return STATUS_INVALID_IMAGE_PROTECT;
    return exetyp == 2 ? STATUS_INVALID_IMAGE_WIN_16 : STATUS_INVALID_IMAGE_NE_FORMAT;
}

RULE(nt_not_empty)
{
    return image->h.machine || image->h.size_of_optional_header ||
           pe_broken(found, PE_HEADER_PLACE(image, "Machine", machine),
                     "Machine and SizeOfOptionalHeader are 0");
}

RULE(nt_executable)
{
    return (image->h.characteristics & IMAGE_FILE_EXECUTABLE_IMAGE) ||
           pe_broken(found, PE_HEADER_PLACE(image, "Characteristics", characteristics),
                     "Characteristics is 0x%x", image->h.characteristics);
}

RULE(opt_magic)
{
    /* A Machine of 0 is nt.not_empty's to refuse where both are broken. */
    if (image->h.machine == 0 && image->h.size_of_optional_header == 0)
        return true;
    bool known = image->h.magic == 0x10b || image->h.magic == 0x20b;
    if (known && pe_machine_has_pointer_size(image->h.machine, pe_pointer_size(image)))
        return true;
    return pe_broken(found,
                     known ? PE_HEADER_PLACE(image, "Machine", machine)
                           : PE_HEADER_PLACE(image, "Magic", magic),
                     "the magic is 0x%x, Machine is 0x%x (%s)", image->h.magic, image->h.machine,
                     pe_machine_name(image->h.machine));
}

RULE(opt_file_alignment)
{
    uint32_t alignment = image->h.file_alignment;
    return (power_of_two(alignment) &&
            (alignment % PE_SECTOR_SIZE == 0 || alignment == image->h.section_alignment)) ||
           pe_broken(found, PE_HEADER_PLACE(image, "FileAlignment", file_alignment),
                     "FileAlignment is 0x%x, SectionAlignment 0x%x", alignment,
                     image->h.section_alignment);
}

RULE(opt_section_alignment)
{
    uint32_t alignment = image->h.section_alignment;
    return (power_of_two(alignment) && alignment >= image->h.file_alignment) ||
           pe_broken(found, PE_HEADER_PLACE(image, "SectionAlignment", section_alignment),
                     "SectionAlignment is 0x%x, FileAlignment 0x%x", alignment,
                     image->h.file_alignment);
}

RULE(opt_size_of_image)
{
    return (pe_mapped_size(image) &&
            (image->h.pe32_plus || image->h.size_of_image <= MAX_PE32_SIZE)) ||
           pe_broken(found, PE_HEADER_PLACE(image, "SizeOfImage", size_of_image),
                     "SizeOfImage is 0x%x", image->h.size_of_image);
}

RULE(opt_size_of_headers)
{
    return (image->h.size_of_headers < image->h.size_of_image &&
            (image->h.size_of_headers || pe_is_flat(image))) ||
           pe_broken(found, PE_HEADER_PLACE(image, "SizeOfHeaders", size_of_headers),
                     "SizeOfHeaders is 0x%x, SizeOfImage 0x%x", image->h.size_of_headers,
                     image->h.size_of_image);
}

RULE(opt_image_base)
{
    return image->h.image_base % PE_GRANULARITY == 0 ||
           pe_broken(found, PE_HEADER_PLACE(image, "ImageBase", image_base),
                     "ImageBase is 0x%" PRIx64, image->h.image_base);
}

static bool headers_too_large(const struct pe_image *image, uint64_t total,
                              struct pe_finding *found)
{
    return pe_broken(found, PE_HEADER_PLACE(image, "NumberOfSections", number_of_sections),
                     "NT headers and section table take 0x%" PRIx64 " bytes from 0x%x (SizeOfImage "
                     "0x%x, file 0x%" PRIx64 ")",
                     total, image->h.e_lfanew, image->h.size_of_image, image->file_size);
}

RULE(opt_headers_total_7)
{
    uint64_t total = nt_size(image) + table_size(image);
    uint64_t end = total + image->h.e_lfanew % PE_PAGE_SIZE;
    /* SizeOfHeaders itself is opt.size_of_headers's. */
    return end < image->h.size_of_image || headers_too_large(image, total, found);
}

RULE(opt_headers_total_10)
{
    uint64_t total = nt_size(image) + table_size(image);
    return (total < image->h.size_of_image && total + image->h.e_lfanew <= image->file_size) ||
           headers_too_large(image, total, found);
}

RULE(opt_headers_pages)
{
    return pe_is_flat(image) || headers_end(image) <= pe_mapped_size(image) ||
           pe_broken(found, PE_HEADER_PLACE(image, "SizeOfHeaders", size_of_headers),
                     "SizeOfHeaders is 0x%x, SectionAlignment 0x%x, SizeOfImage 0x%x",
                     image->h.size_of_headers, image->h.section_alignment, image->h.size_of_image);
}

/* ---- the section table ----------------------------------------------------------------------- */

RULE(sections_count_max)
{
    return image->h.number_of_sections <= MAX_SECTIONS_XP ||
           pe_broken(found, PE_HEADER_PLACE(image, "NumberOfSections", number_of_sections),
                     "there are %u PE sections", image->h.number_of_sections);
}

RULE(sections_table_file)
{
    uint64_t start = image->h.section_table_offset, in_page = start % PE_PAGE_SIZE;
    if (image->windows == PE_WINDOWS_XP && pe_is_flat(image))
        return true;
    return (start - in_page < image->file_size &&
            table_size(image) + in_page <= image->file_size) ||
           pe_broken(found, PE_HEADER_PLACE(image, "SizeOfOptionalHeader", size_of_optional_header),
                     "the section table lies at 0x%" PRIx64 ", 0x%" PRIx64
                     " bytes, in a file of 0x%" PRIx64,
                     start, table_size(image), image->file_size);
}

RULE(sections_table_page)
{
    uint64_t in_page = image->h.section_table_offset % PE_PAGE_SIZE;
    return in_page + table_size(image) <= 2 * PE_PAGE_SIZE ||
           pe_broken(found, PE_HEADER_PLACE(image, "NumberOfSections", number_of_sections),
                     "%u PE sections, the table begins at 0x%" PRIx64, image->h.number_of_sections,
                     image->h.section_table_offset);
}

RULE(la_machine)
{
    return !pe_is_flat(image) || image->h.machine == IMAGE_FILE_MACHINE_I386 ||
           image->h.machine == IMAGE_FILE_MACHINE_AMD64 ||
           pe_broken(found, PE_HEADER_PLACE(image, "Machine", machine), "Machine is 0x%x (%s)",
                     image->h.machine, pe_machine_name(image->h.machine));
}

RULE(sections_some)
{
    return pe_is_flat(image) || image->h.number_of_sections ||
           pe_broken(found, PE_HEADER_PLACE(image, "NumberOfSections", number_of_sections),
                     "NumberOfSections is 0");
}

RULE(sections_contiguous)
{
    uint64_t expected = headers_end(image);
    struct pe_section s;
    if (pe_is_flat(image))
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        if (s.virtual_address != expected)
            return pe_broken(found, pe_section_place(image, i, PE_AT_VIRTUAL_ADDRESS),
                             "section %u begins at 0x%x, %s at 0x%" PRIx64, i, s.virtual_address,
                             i ? "the previous one ends" : "the headers end", expected);
        expected = pe_round_up(expected + pe_section_size(&s), unit(image));
    }
    return true;
}

RULE(sections_not_empty)
{
    struct pe_section s;
    if (pe_is_flat(image))
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++)
        if (pe_section_size(&s) == 0)
            return pe_broken(found, pe_section_place(image, i, PE_AT_VIRTUAL_SIZE),
                             "section %u has neither virtual nor raw size", i);
    return true;
}

RULE(sections_fit)
{
    uint64_t end = headers_end(image), image_size = pe_mapped_size(image);
    struct pe_section s;
    /* Headers that leave nothing at all are opt.headers_pages's to refuse. */
    if (pe_is_flat(image) || end > image_size)
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++)
        end += pe_round_up(pe_section_size(&s), unit(image));
    return (end <= image_size && image_size - end < unit(image)) ||
           pe_broken(found, PE_HEADER_PLACE(image, "SizeOfImage", size_of_image),
                     "the PE sections end at 0x%" PRIx64 ", SizeOfImage is 0x%x", end,
                     image->h.size_of_image);
}

RULE(sections_no_wrap)
{
    struct pe_section s;
    for (uint32_t i = 0; asked(image, i, &s); i++) {
        uint64_t raw_end = (uint64_t)raw_pointer(image, &s) + s.size_of_raw_data;
        if (pe_section_size(&s) + unit(image) - 1 > UINT32_MAX)
            return pe_broken(found, pe_section_place(image, i, PE_AT_VIRTUAL_SIZE),
                             "section %u has 0x%" PRIx64 " bytes", i, pe_section_size(&s));
        if (pe_round_up(raw_end, image->h.file_alignment) > UINT32_MAX)
            return pe_broken(found, pe_section_place(image, i, PE_AT_RAW_POINTER),
                             "section %u has raw data at 0x%x, 0x%x bytes", i,
                             s.pointer_to_raw_data, s.size_of_raw_data);
    }
    return true;
}

RULE(sections_raw_in_file)
{
    struct pe_section s;
    if (pe_is_flat(image))
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++)
        if (s.pointer_to_raw_data >= image->file_size)
            return pe_broken(found, pe_section_place(image, i, PE_AT_RAW_POINTER),
                             "section %u has raw data at 0x%x, the file 0x%" PRIx64 " bytes", i,
                             s.pointer_to_raw_data, image->file_size);
    return true;
}

/*
 * XP and 7 run programs whose raw size is far beyond the file: it is cut to the virtual size then,
 * and nobody asks whether the file has that much (behaviours, Sections).
 */
RULE(sections_last_raw)
{
    struct pe_section s;
    uint32_t last = image->h.number_of_sections - 1u;
    if (pe_is_flat(image) || image->h.number_of_sections == 0 || !pe_section_at(image, last, &s))
        return true;
    if (image->windows != PE_WINDOWS_10 && s.size_of_raw_data > s.mapped_size)
        return true;
    return (uint64_t)raw_pointer(image, &s) + s.size_of_raw_data <= image->file_size ||
           pe_broken(found, pe_section_place(image, last, PE_AT_RAW_POINTER),
                     "section %u has raw data at 0x%x, 0x%x bytes, the file 0x%" PRIx64, last,
                     s.pointer_to_raw_data, s.size_of_raw_data, image->file_size);
}

RULE(la_flat)
{
    struct pe_section s;
    if (!pe_is_flat(image))
        return true;
    for (uint32_t i = 0; asked(image, i, &s); i++) {
        if (raw_pointer(image, &s) != s.virtual_address)
            return pe_broken(found, pe_section_place(image, i, PE_AT_VIRTUAL_ADDRESS),
                             "section %u begins at 0x%x, in the file at 0x%x", i, s.virtual_address,
                             raw_pointer(image, &s));
        if (pe_section_size(&s) > s.size_of_raw_data)
            return pe_broken(found, pe_section_place(image, i, PE_AT_VIRTUAL_SIZE),
                             "section %u has 0x%" PRIx64 " bytes, 0x%x in the file", i,
                             pe_section_size(&s), s.size_of_raw_data);
    }
    return true;
}
