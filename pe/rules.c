/*
 * Would Windows map this file: the rules that a section creation checks on Windows 10, one row
 * each.
 *
 * Ids and order follow the facts sheet "When Windows accepts an image" (stage 1); the rules whose
 * column there names other versions only are not in the table. Abbreviations as there: a
 * page-aligned image has a SectionAlignment of at least a page, a low-alignment (flat) one has not.
 * Functions say what was found when a rule does not hold. "sections.raw_zero" is no row: it says
 * how a field is read (pe_section_at), and nothing can break it.
 */
#include "pe/rules.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "pe/internal.h"

#define MIN_NT_HEADERS 0xf8u       /* IMAGE_NT_HEADERS32, what Windows reads at e_lfanew */
#define MAX_PE32_SIZE  0x77000000u /* SizeOfImage */

static bool broken(char *found, uint32_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static bool broken(char *found, uint32_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(found, size, fmt, ap);
    va_end(ap);
    return false;
}

static bool power_of_two(uint32_t value)
{
    return value && !(value & (value - 1));
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

/* "size(s)" */
static uint64_t size_of(const struct pe_section *s)
{
    return s->virtual_size ? s->virtual_size : s->size_of_raw_data;
}

/* Where the headers end and the first PE section begins. */
static uint64_t headers_end(const struct pe_image *image)
{
    return pe_round_up(image->h.size_of_headers, image->h.section_alignment);
}

static bool file_size(const struct pe_image *image, char *found, uint32_t size)
{
    return image->bytes.size <= UINT32_MAX ||
           broken(found, size, "the file has %" PRIu64 " bytes", image->bytes.size);
}

static bool dos_magic(const struct pe_image *image, char *found, uint32_t size)
{
    uint16_t magic = 0;
    pe_u16(image->bytes, 0, &magic);
    return magic == 0x5a4d || broken(found, size, "the first two bytes are 0x%x", magic);
}

static bool lfanew_range(const struct pe_image *image, char *found, uint32_t size)
{
    uint64_t end = (uint64_t)image->h.e_lfanew + MIN_NT_HEADERS;
    return (end <= UINT32_MAX && end <= image->bytes.size) ||
           broken(found, size, "e_lfanew is 0x%x in a file of 0x%" PRIx64 " bytes",
                  image->h.e_lfanew, image->bytes.size);
}

static bool lfanew_last_page(const struct pe_image *image, char *found, uint32_t size)
{
    uint64_t end = (uint64_t)image->h.e_lfanew + MIN_NT_HEADERS;
    uint64_t whole = image->bytes.size & ~(uint64_t)(PE_PAGE_SIZE - 1);
    return end <= whole || end < PE_PAGE_SIZE ||
           broken(found, size, "the NT headers at 0x%x reach into the file's last, partial page",
                  image->h.e_lfanew);
}

static bool lfanew_aligned(const struct pe_image *image, char *found, uint32_t size)
{
    return image->h.e_lfanew % 4 == 0 || broken(found, size, "e_lfanew is 0x%x", image->h.e_lfanew);
}

static bool nt_signature(const struct pe_image *image, char *found, uint32_t size)
{
    uint32_t signature = 0;
    pe_u32(image->bytes, image->h.e_lfanew, &signature);
    return signature == 0x4550 || broken(found, size, "the signature is 0x%x", signature);
}

static bool nt_not_empty(const struct pe_image *image, char *found, uint32_t size)
{
    return image->h.machine || image->h.size_of_optional_header ||
           broken(found, size, "Machine and SizeOfOptionalHeader are 0");
}

static bool nt_executable(const struct pe_image *image, char *found, uint32_t size)
{
    return (image->h.characteristics & IMAGE_FILE_EXECUTABLE_IMAGE) ||
           broken(found, size, "Characteristics is 0x%x", image->h.characteristics);
}

static bool opt_magic(const struct pe_image *image, char *found, uint32_t size)
{
    return pe_machine_has_pointer_size(image->h.machine, pe_pointer_size(image)) ||
           broken(found, size, "the magic is 0x%x, Machine is 0x%x (%s)", image->h.magic,
                  image->h.machine, pe_machine_name(image->h.machine));
}

static bool opt_file_alignment(const struct pe_image *image, char *found, uint32_t size)
{
    uint32_t alignment = image->h.file_alignment;
    return (power_of_two(alignment) &&
            (alignment % PE_SECTOR_SIZE == 0 || alignment == image->h.section_alignment)) ||
           broken(found, size, "FileAlignment is 0x%x, SectionAlignment 0x%x", alignment,
                  image->h.section_alignment);
}

static bool opt_section_alignment(const struct pe_image *image, char *found, uint32_t size)
{
    uint32_t alignment = image->h.section_alignment;
    return (power_of_two(alignment) && alignment >= image->h.file_alignment) ||
           broken(found, size, "SectionAlignment is 0x%x, FileAlignment 0x%x", alignment,
                  image->h.file_alignment);
}

static bool opt_size_of_image(const struct pe_image *image, char *found, uint32_t size)
{
    return (pe_mapped_size(image) &&
            (image->h.pe32_plus || image->h.size_of_image <= MAX_PE32_SIZE)) ||
           broken(found, size, "SizeOfImage is 0x%x", image->h.size_of_image);
}

static bool opt_size_of_headers(const struct pe_image *image, char *found, uint32_t size)
{
    return (image->h.size_of_headers < image->h.size_of_image &&
            (image->h.size_of_headers || pe_is_flat(image))) ||
           broken(found, size, "SizeOfHeaders is 0x%x, SizeOfImage 0x%x", image->h.size_of_headers,
                  image->h.size_of_image);
}

static bool opt_image_base(const struct pe_image *image, char *found, uint32_t size)
{
    return image->h.image_base % PE_GRANULARITY == 0 ||
           broken(found, size, "ImageBase is 0x%" PRIx64, image->h.image_base);
}

static bool opt_headers_total(const struct pe_image *image, char *found, uint32_t size)
{
    uint64_t total = nt_size(image) + table_size(image);
    return (total < image->h.size_of_image && total + image->h.e_lfanew <= image->bytes.size) ||
           broken(found, size,
                  "NT headers and section table take 0x%" PRIx64 " bytes from 0x%x (SizeOfImage "
                  "0x%x, file 0x%" PRIx64 ")",
                  total, image->h.e_lfanew, image->h.size_of_image, image->bytes.size);
}

static bool table_file(const struct pe_image *image, char *found, uint32_t size)
{
    uint64_t start = image->h.section_table_offset, in_page = start % PE_PAGE_SIZE;
    return (start - in_page < image->bytes.size &&
            table_size(image) + in_page <= image->bytes.size) ||
           broken(found, size, "the section table lies at 0x%" PRIx64 ", 0x%" PRIx64 " bytes",
                  start, table_size(image));
}

static bool table_page(const struct pe_image *image, char *found, uint32_t size)
{
    uint64_t in_page = image->h.section_table_offset % PE_PAGE_SIZE;
    return in_page + table_size(image) <= 2 * PE_PAGE_SIZE ||
           broken(found, size, "%u PE sections, the table begins at 0x%" PRIx64,
                  image->h.number_of_sections, image->h.section_table_offset);
}

static bool opt_headers_pages(const struct pe_image *image, char *found, uint32_t size)
{
    return pe_is_flat(image) || headers_end(image) <= pe_mapped_size(image) ||
           broken(found, size, "SizeOfHeaders is 0x%x, SectionAlignment 0x%x, SizeOfImage 0x%x",
                  image->h.size_of_headers, image->h.section_alignment, image->h.size_of_image);
}

static bool la_machine(const struct pe_image *image, char *found, uint32_t size)
{
    return !pe_is_flat(image) || image->h.machine == IMAGE_FILE_MACHINE_I386 ||
           image->h.machine == IMAGE_FILE_MACHINE_AMD64 ||
           broken(found, size, "Machine is 0x%x (%s)", image->h.machine,
                  pe_machine_name(image->h.machine));
}

static bool sections_some(const struct pe_image *image, char *found, uint32_t size)
{
    return pe_is_flat(image) || image->h.number_of_sections ||
           broken(found, size, "NumberOfSections is 0");
}

static bool sections_contiguous(const struct pe_image *image, char *found, uint32_t size)
{
    uint64_t expected = headers_end(image);
    struct pe_section s;
    if (pe_is_flat(image))
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        if (s.virtual_address != expected)
            return broken(found, size, "PE section %u (%s) begins at 0x%x, not at 0x%" PRIx64, i,
                          s.name, s.virtual_address, expected);
        expected = pe_round_up(expected + size_of(&s), image->h.section_alignment);
    }
    return true;
}

static bool sections_not_empty(const struct pe_image *image, char *found, uint32_t size)
{
    struct pe_section s;
    if (pe_is_flat(image))
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++)
        if (size_of(&s) == 0)
            return broken(found, size, "PE section %u (%s) has no size", i, s.name);
    return true;
}

static bool sections_fit(const struct pe_image *image, char *found, uint32_t size)
{
    uint64_t end = headers_end(image), image_size = pe_mapped_size(image);
    struct pe_section s;
    if (pe_is_flat(image))
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++)
        end += pe_round_up(size_of(&s), image->h.section_alignment);
    return (end <= image_size && image_size - end < image->h.section_alignment) ||
           broken(found, size, "the PE sections end at 0x%" PRIx64 ", SizeOfImage is 0x%x", end,
                  image->h.size_of_image);
}

static bool sections_no_wrap(const struct pe_image *image, char *found, uint32_t size)
{
    struct pe_section s;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        uint64_t raw_end =
            s.size_of_raw_data ? (uint64_t)s.pointer_to_raw_data + s.size_of_raw_data : 0;
        if (size_of(&s) + image->h.section_alignment - 1 > UINT32_MAX ||
            pe_round_up(raw_end, image->h.file_alignment) > UINT32_MAX)
            return broken(found, size, "PE section %u (%s): VirtualSize 0x%x, raw data 0x%x+0x%x",
                          i, s.name, s.virtual_size, s.pointer_to_raw_data, s.size_of_raw_data);
    }
    return true;
}

/*
 * Raw data past the virtual size is not mapped and not asked for: a raw size far beyond the file is
 * cut to the virtual size (behaviours, Sections).
 */
static bool sections_last_raw(const struct pe_image *image, char *found, uint32_t size)
{
    struct pe_section s;
    if (pe_is_flat(image) || image->h.number_of_sections == 0 ||
        !pe_section_at(image, image->h.number_of_sections - 1u, &s) || s.size_of_raw_data == 0)
        return true;
    uint32_t used = s.size_of_raw_data < s.mapped_size ? s.size_of_raw_data : s.mapped_size;
    return (uint64_t)s.pointer_to_raw_data + used <= image->bytes.size ||
           broken(found, size, "%s has raw data 0x%x+0x%x, the file 0x%" PRIx64 " bytes", s.name,
                  s.pointer_to_raw_data, s.size_of_raw_data, image->bytes.size);
}

static bool la_flat(const struct pe_image *image, char *found, uint32_t size)
{
    struct pe_section s;
    if (!pe_is_flat(image))
        return true;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        uint32_t raw = s.size_of_raw_data ? s.pointer_to_raw_data : 0; /* sections.raw_zero */
        if (raw != s.virtual_address || size_of(&s) > s.size_of_raw_data)
            return broken(found, size,
                          "PE section %u (%s): VirtualAddress 0x%x, size 0x%" PRIx64
                          ", raw data 0x%x+0x%x",
                          i, s.name, s.virtual_address, size_of(&s), s.pointer_to_raw_data,
                          s.size_of_raw_data);
    }
    return true;
}

const struct pe_rule pe_rules[] = {
    {"file.size", STATUS_INVALID_FILE_FOR_SECTION, "the file is under 4 GiB", file_size},
    {"dos.magic", STATUS_INVALID_IMAGE_NOT_MZ, "the file begins with MZ", dos_magic},
    {"dos.lfanew.range", STATUS_INVALID_IMAGE_PROTECT,
     "e_lfanew + 0xf8 does not wrap and lies inside the file", lfanew_range},
    {"dos.lfanew.last_page", STATUS_INVALID_IMAGE_PROTECT,
     "NT headers that reach past the file's last whole page end in the first page",
     lfanew_last_page},
    {"dos.lfanew.aligned", STATUS_INVALID_IMAGE_PROTECT, "e_lfanew is a multiple of 4",
     lfanew_aligned},
    {"nt.signature", STATUS_INVALID_IMAGE_PROTECT, "the NT headers begin with PE\\0\\0",
     nt_signature},
    {"nt.not_empty", STATUS_INVALID_IMAGE_FORMAT, "Machine and SizeOfOptionalHeader are not both 0",
     nt_not_empty},
    {"nt.executable", STATUS_INVALID_IMAGE_FORMAT, "Characteristics has EXECUTABLE_IMAGE",
     nt_executable},
    {"opt.magic", STATUS_INVALID_IMAGE_FORMAT,
     "the magic is that of PE32 or PE32+ and agrees with a known Machine", opt_magic},
    {"opt.file_alignment", STATUS_INVALID_IMAGE_FORMAT,
     "FileAlignment is a power of two, and a multiple of 0x200 or equal to SectionAlignment",
     opt_file_alignment},
    {"opt.section_alignment", STATUS_INVALID_IMAGE_FORMAT,
     "SectionAlignment is a power of two and not below FileAlignment", opt_section_alignment},
    {"opt.size_of_image", STATUS_INVALID_IMAGE_FORMAT,
     "SizeOfImage is not 0 and, in PE32, at most 0x77000000", opt_size_of_image},
    {"opt.size_of_headers", STATUS_INVALID_IMAGE_FORMAT,
     "SizeOfHeaders is below SizeOfImage and not 0 in a page-aligned image", opt_size_of_headers},
    {"opt.image_base", STATUS_INVALID_IMAGE_FORMAT, "ImageBase is a multiple of 64 KiB",
     opt_image_base},
    {"opt.headers_total", STATUS_INVALID_IMAGE_FORMAT,
     "NT headers and section table are smaller than SizeOfImage and lie inside the file",
     opt_headers_total},
    {"sections.table.file", STATUS_INVALID_IMAGE_FORMAT, "the section table lies in the file",
     table_file},
    {"sections.table.page", STATUS_INVALID_IMAGE_FORMAT,
     "the section table ends within one page after the page in which it begins", table_page},
    {"opt.headers_pages", STATUS_INVALID_IMAGE_FORMAT,
     "SizeOfHeaders, rounded up to SectionAlignment, fits SizeOfImage", opt_headers_pages},
    {"la.machine", STATUS_INVALID_IMAGE_FORMAT,
     "an image with SectionAlignment below a page is for x86 or x86-64", la_machine},
    {"sections.some", STATUS_INVALID_IMAGE_FORMAT, "a page-aligned image has a PE section",
     sections_some},
    {"sections.contiguous", STATUS_INVALID_IMAGE_FORMAT,
     "each PE section begins exactly where the one before it, or the headers, ended",
     sections_contiguous},
    {"sections.not_empty", STATUS_INVALID_IMAGE_FORMAT,
     "no PE section of a page-aligned image is empty", sections_not_empty},
    {"sections.fit", STATUS_INVALID_IMAGE_FORMAT,
     "the PE sections fit SizeOfImage and leave less than one SectionAlignment of it",
     sections_fit},
    {"sections.no_wrap", STATUS_INVALID_IMAGE_FORMAT,
     "no PE section's virtual or raw extent wraps 32 bits", sections_no_wrap},
    {"sections.last_raw", STATUS_INVALID_IMAGE_FORMAT,
     "the last PE section's raw data lies in the file", sections_last_raw},
    {"la.flat", STATUS_INVALID_IMAGE_FORMAT,
     "with SectionAlignment below a page, PE sections lie where they lie in the file", la_flat},
};
const uint32_t pe_rule_count = PE_ARRAY_SIZE(pe_rules);

nt_status pe_rules_check(const struct pe_image *image, struct pe_error *err)
{
    for (uint32_t i = 0; i < pe_rule_count; i++) {
        const struct pe_rule *rule = &pe_rules[i];
        char found[256] = "";
        if (!rule->holds(image, found, sizeof(found)))
            return pe_fail_rule(err, rule->status, rule->id, "%s must hold (%s): %s", rule->id,
                                rule->text, found);
    }
    return STATUS_SUCCESS;
}
