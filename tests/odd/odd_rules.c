/*
 * Odd images: for each rule that the creation of an image section object asks (pe/rules.h,
 * PE_STAGE_SECTION) an image that it alone refuses, and images that just meet it. The other stages:
 * odd_rules_loader.c.
 */
#include "tests/odd/rules_start.h"

const char odd_area[] = "rules";

/* ---- the file and its headers ---------------------------------------------------------------- */

SPOIL(plain, (void)b)
SPOIL_BYTES(not_mz, odd->bytes[0] = 'X')
SPOIL_BYTES(lfanew_far, pebuild_put32(odd->bytes, 0x3c, 0x100000))
SPOIL_BYTES(lfanew_wraps, pebuild_put32(odd->bytes, 0x3c, 0xffffff80))
SPOIL(lfanew_unaligned, b->h.e_lfanew = 0x82)
SPOIL_BYTES(not_pe, odd->bytes[odd_nt(odd)] = 'X')
SPOIL(not_executable, b->h.characteristics &= (uint16_t)~IMAGE_FILE_EXECUTABLE_IMAGE)
SPOIL(other_word_size,
      b->h.machine = b->h.pe32_plus ? IMAGE_FILE_MACHINE_I386 : IMAGE_FILE_MACHINE_AMD64)
SPOIL(unknown_machine, b->h.machine = 0x1234)
SPOIL(rom_magic, b->h.magic = 0x107)

/*
 * A program that is all header: flat, no PE section, no directory; `size` bytes from the NT headers
 * on. The entry point is in what DOS calls reserved, behind SizeOfHeaders: mov eax, 42; ret.
 */
static void all_header(struct odd *odd, uint64_t size)
{
    bool wide = sizeof(void *) == 8;
    odd_bytes(odd, 0x40 + size);
    uint8_t *nt = odd->bytes + 0x40, *optional = nt + 24;
    pebuild_put16(odd->bytes, 0, 0x5a4d);
    memcpy(odd->bytes + 0x30, "\xb8\x2a\0\0\0\xc3", 6);
    pebuild_put32(odd->bytes, 0x3c, 0x40);
    memcpy(nt, "PE", 2);
    pebuild_put16(nt, 4, wide ? IMAGE_FILE_MACHINE_AMD64 : IMAGE_FILE_MACHINE_I386);
    pebuild_put16(nt, 22, IMAGE_FILE_EXECUTABLE_IMAGE);
    pebuild_put16(optional, 0, wide ? 0x20b : 0x10b);
    pebuild_put32(optional, 16, 0x30);
    pebuild_put32(optional, wide ? 24 : 28, 0x400000);
    pebuild_put32(optional, 32, 4);
    pebuild_put32(optional, 36, 4);
    pebuild_put16(optional, 48, 4);
    pebuild_put32(optional, 56, 0x1000);
    pebuild_put32(optional, 60, 0x30);
    pebuild_put16(optional, 68, IMAGE_SUBSYSTEM_WINDOWS_CUI);
}

/* What a 64-bit system reads of it, for either format (behaviours, Headers). */
static void headers_whole(struct odd *odd)
{
    all_header(odd, 0x108);
}

static void headers_cut(struct odd *odd)
{
    all_header(odd, sizeof(void *) == 8 ? 0x107 : 0xf7);
}

/* NT headers at 0x2000; the file ends at 0x2800, or with a whole page. */
static void headers_late(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.e_lfanew = 0x2000;
    odd->b->h.size_of_headers = 0x2400;
    start(odd);
}

static void headers_late_in_page(struct odd *odd)
{
    headers_late(odd);
    odd_finish(odd);
    odd_resize(odd, 0x3000);
}

/*
 * No Machine and no optional header. Its fields are where they always are, and the first 40 bytes
 * of them are the section table as well: SizeOfInitializedData is the VirtualSize of the one PE
 * section, AddressOfEntryPoint its SizeOfRawData, FileAlignment its Characteristics.
 */
static void empty(struct odd *odd)
{
    struct pebuild *b = start(odd);
    b->h.machine = 0;
    b->h.number_of_sections = 1;
    b->h.size_of_initialized_data = b->h.size_of_uninitialized_data = 0x1000;
    b->h.address_of_entry_point = 0x1000;
    b->h.base_of_code = 0x400;
    b->h.size_of_image = 0x2000;
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, 0, 0);
    odd_finish(odd);
    odd_resize(odd, 0x2000);
    pebuild_put16(odd->bytes, odd_nt(odd) + 20, 0);
}

SPOIL(file_alignment_0, b->h.file_alignment = 0)
SPOIL(file_alignment_300, b->h.file_alignment = 0x300)
SPOIL(file_alignment_100, b->h.file_alignment = 0x100)
SPOIL(file_alignment_page, b->h.file_alignment = 0x1000)
SPOIL(file_alignment_large, b->h.file_alignment = 0x2000)
SPOIL(section_alignment_odd, b->h.section_alignment = 0x3000)
SPOIL(base_unaligned, b->h.image_base = 0x408000)
SPOIL_FLAT(flat_image_0, b->h.size_of_image = 0)

/*
 * Flat, so that the PE sections need not fill the image. PE32+ may have the size that PE32 may not,
 * but the pages of 0xfffff001 bytes cannot be counted in 32 bits. The base keeps Windows 7 from
 * asking where it ends.
 */
static void flat_image_large(struct odd *odd)
{
    struct pebuild *b = start_flat(odd);
    b->h.image_base = 0x70000000;
    b->h.size_of_image = b->h.pe32_plus ? 0xfffff001 : 0x77000001;
}

/* The same, filled by a PE section without data. */
static void image_large(struct odd *odd)
{
    struct pebuild *b = start(odd);
    b->h.image_base = 0x70000000;
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x76ffe000);
}

/* Flat: what follows in the file is as large as SizeOfHeaders says, the image is not. */
static void flat_headers_whole(struct odd *odd)
{
    struct pebuild *b = start_flat(odd);
    b->h.address_of_entry_point = b->h.size_of_headers = b->h.size_of_image = 0x1000;
    odd_finish(odd);
    odd_resize(odd, 0x2000);
}

/* A DLL, of which nobody asks where its headers end; the first PE section begins at 0. */
static void headers_0(struct odd *odd)
{
    struct pebuild *b = start_dll(odd);
    b->h.size_of_headers = 0;
    for (uint32_t i = 0; i < b->section_count; i++)
        b->sections[i].virtual_address -= 0x1000;
    b->h.size_of_image -= 0x1000;
    b->h.address_of_entry_point = 0;
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, 0, 0);
}

/* Flat images may say so. */
static void flat_headers_0(struct odd *odd)
{
    odd_begin(odd, PEBUILD_DLL);
    odd->b->h.section_alignment = odd->b->h.file_alignment = 0x20;
    start_dll(odd)->h.size_of_headers = 0;
}

/*
 * The optional header is as long as the image, or a little shorter; its table follows it in the
 * file, behind the raw data. 7 counts from the page in which the NT headers begin.
 */
static void optional_header(struct odd *odd, uint16_t size)
{
    start(odd);
    odd_finish(odd);
    odd_resize(odd, 0x4000);
    uint64_t from = odd_section_header(odd, 0);
    pebuild_put16(odd->bytes, odd_nt(odd) + 20, size);
    memcpy(odd->bytes + odd_section_header(odd, 0), odd->bytes + from, 2 * 40);
}

static void optional_header_long(struct odd *odd)
{
    optional_header(odd, 0x3000);
}

static void optional_header_short(struct odd *odd)
{
    optional_header(odd, 0x3000 - 24 - 80 - 0x40);
}

/* SectionAlignment 64 KiB: the headers alone take more than SizeOfImage. */
static void headers_pages(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = 0x10000;
    start(odd);
    odd->b->h.size_of_image = 0x2000;
}

/* ---- the section table ----------------------------------------------------------------------- */

static void with_sections(struct odd *odd, uint32_t count)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.size_of_headers = 0x3000;
    start(odd);
    while (odd->b->section_count < count)
        pebuild_section(odd->b, ".more", PEBUILD_DATA, "x", 1, 0);
}

static void sections_96(struct odd *odd)
{
    with_sections(odd, 96);
}

static void sections_97(struct odd *odd)
{
    with_sections(odd, 97);
}

/* The table begins at 0x188 (PE32: 0x178): 195 entries end before 0x2000. */
static void sections_195(struct odd *odd)
{
    with_sections(odd, 195);
}

static void sections_196(struct odd *odd)
{
    with_sections(odd, 196);
}

/*
 * The table lies behind the file's end, which is in the same page; no PE section can be read, and
 * SizeOfImage holds the headers' page alone. On 10 opt.headers_total asks for the table as well,
 * see table_at_end().
 */
static void table_outside(struct odd *odd)
{
    struct pebuild *b = start(odd);
    b->h.size_of_image = 0x1000;
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, 0, 0);
    odd_finish(odd);
    pebuild_put16(odd->bytes, odd_nt(odd) + 6, 1);
    pebuild_put16(odd->bytes, odd_nt(odd) + 20, 0x600);
    odd_resize(odd, 0x420);
}

/* Flat, without PE sections: the empty table begins where the file ends, with a page. */
static void table_at_end(struct odd *odd)
{
    all_header(odd, 0x108);
    odd_resize(odd, 0x1000);
    pebuild_put16(odd->bytes, 0x40 + 20, 0x1000 - 0x40 - 24);
    pebuild_put32(odd->bytes, odd_optional(odd) + 56, 0x2000);
}

static void table_before_end(struct odd *odd)
{
    table_at_end(odd);
    pebuild_put16(odd->bytes, 0x40 + 20, 0x1000 - 0x40 - 25);
}

static uint16_t other_machine(void)
{
    return sizeof(void *) == 8 ? IMAGE_FILE_MACHINE_ARM64 : IMAGE_FILE_MACHINE_ARMNT;
}
SPOIL_FLAT(flat_machine, b->h.machine = other_machine())
SPOIL(paged_machine, b->h.machine = other_machine())

static void no_sections(struct odd *odd)
{
    struct pebuild *b = start(odd);
    b->h.number_of_sections = 0;
    b->h.size_of_image = 0x1000;
    b->h.address_of_entry_point = 0;
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, 0, 0);
}

SPOIL(section_gap, b->sections[1].virtual_address += 0x1000)
SPOIL(section_overlap, b->sections[1].virtual_address -= 0x1000)
SPOIL(section_early, b->sections[0].virtual_address = 0x800)
SPOIL(headers_two_pages, b->h.size_of_headers = 0x1001)
SPOIL(section_empty, pebuild_section(b, ".none", PEBUILD_DATA, NULL, 0, 0))
SPOIL(size_of_image_long, b->h.size_of_image += 0x1000)
SPOIL(size_of_image_short, b->h.size_of_image -= 0x1000)
SPOIL(size_of_image_unrounded, b->h.size_of_image -= 0xfff)
SPOIL(raw_wraps, b->sections[0].size_of_raw_data = 0xffffff00)
SPOIL(raw_far, b->sections[0].size_of_raw_data = 0x7fffff00)

/* No raw data, but a pointer outside of the file. A last section like this is sections.last_raw's.
 */
static void bss_pointer(struct odd *odd)
{
    struct pebuild *b = start(odd);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x100);
    pebuild_section(b, ".data", PEBUILD_DATA, "data", 4, 0);
    b->sections[2].pointer_to_raw_data = 0x100000;
}

static void last_raw_cut(struct odd *odd)
{
    struct pebuild *b = start(odd);
    b->sections[1].virtual_size = b->sections[1].size_of_raw_data;
    odd_finish(odd);
    odd_resize(odd, odd->size - 1);
}

/* XP and 7 do not ask for what lies beyond the virtual size. */
static void last_raw_used(struct odd *odd)
{
    struct pebuild *b = start(odd);
    uint32_t used = (b->sections[1].virtual_size + 0xfff) & ~0xfffu;
    odd_finish(odd);
    pebuild_put32(odd->bytes, odd_section_header(odd, 1) + 16, 0x10000);
    odd_resize(odd, 0x600 + used);
}

SPOIL_FLAT(flat_moved, b->sections[0].virtual_address += 0x20)
SPOIL_FLAT(flat_larger, b->sections[0].virtual_size = b->sections[0].size_of_raw_data + 1)
SPOIL_FLAT(flat_plain, (void)b)
SPOIL_FLAT(flat_second_moved, b->sections[1].virtual_address += 0x20)

#define NEVER_RUN .why_not = "its code is for another machine"

const struct odd_row odd_rows[] = {
    {.name = "plain",
     .build = plain,
     .formats = ODD_BOTH,
     .map = "0 1000 R; 1000 1000 WC; 2000 1000 ER",
     .bytes = "0 4d 5a; 80 50 45 0 0; 2ff0 x 10 0",
     RUNS},
    {.name = "flat",
     .build = flat_plain,
     .formats = ODD_BOTH,
     .map = "0 1000 EWC",
     .bytes = "0 4d 5a; 80 50 45 0 0",
     RUNS},
    /* A 32-bit process has no room for such a file. */
    {.name = "file-4g",
     .build = plain,
     .formats = ODD_64,
     .file_size = 0x100000000,
     BY_10("file.size"),
     RUNS},
    {.name = "not-mz", .build = not_mz, .formats = ODD_BOTH, BY_ALL("dos.magic")},
    {.name = "lfanew-far", .build = lfanew_far, .formats = ODD_BOTH, BY_ALL("dos.lfanew.range")},
    {.name = "lfanew-wraps",
     .build = lfanew_wraps,
     .formats = ODD_BOTH,
     BY_ALL("dos.lfanew.range")},
    {.name = "headers-cut", .build = headers_cut, .formats = ODD_64, BY_ALL("dos.lfanew.range")},
    {.name = "headers-cut-32", /* XP's limit is that of tiny-97 and tiny-96 (odd_dll_data.c) */
     .build = headers_cut,
     .formats = ODD_32,
     .refused = {NULL, "dos.lfanew.range", "dos.lfanew.range"},
     .alone = true,
     .output = "",
     .exit_code = 42},
    {.name = "headers-whole",
     .build = headers_whole,
     .formats = ODD_BOTH,
     .map = "0 1000 EWC",
     .output = "",
     .exit_code = 42},
    {.name = "headers-late",
     .build = headers_late,
     .formats = ODD_BOTH,
     BY_10("dos.lfanew.last_page"),
     RUNS},
    {.name = "headers-late-in-page", .build = headers_late_in_page, .formats = ODD_BOTH, RUNS},
    {.name = "lfanew-unaligned",
     .build = lfanew_unaligned,
     .formats = ODD_BOTH,
     BY_ALL("dos.lfanew.aligned")},
    {.name = "not-pe", .build = not_pe, .formats = ODD_BOTH, BY_ALL("nt.signature")},
    {.name = "empty", .build = empty, .formats = ODD_BOTH, BY_ALL("nt.not_empty")},
    {.name = "not-executable",
     .build = not_executable,
     .formats = ODD_BOTH,
     BY_ALL("nt.executable")},
    {.name = "other-word-size", .build = other_word_size, .formats = ODD_BOTH, BY_ALL("opt.magic")},
    {.name = "unknown-machine", .build = unknown_machine, .formats = ODD_BOTH, BY_ALL("opt.magic")},
    {.name = "rom-magic", .build = rom_magic, .formats = ODD_BOTH, BY_ALL("opt.magic")},
    {.name = "file-alignment-0",
     .build = file_alignment_0,
     .formats = ODD_BOTH,
     BY_ALL("opt.file_alignment")},
    {.name = "file-alignment-300",
     .build = file_alignment_300,
     .formats = ODD_BOTH,
     BY_ALL("opt.file_alignment")},
    {.name = "file-alignment-100",
     .build = file_alignment_100,
     .formats = ODD_BOTH,
     BY_ALL("opt.file_alignment")},
    {.name = "file-alignment-page", .build = file_alignment_page, .formats = ODD_BOTH, RUNS},
    {.name = "file-alignment-large",
     .build = file_alignment_large,
     .formats = ODD_BOTH,
     BY_ALL("opt.section_alignment")},
    {.name = "section-alignment-odd",
     .build = section_alignment_odd,
     .formats = ODD_BOTH,
     BY_ALL("opt.section_alignment")},
    {.name = "image-0",
     .build = flat_image_0,
     .formats = ODD_BOTH,
     .refused = {"opt.size_of_image", "opt.size_of_image", "opt.size_of_image"}},
    {.name = "flat-image-large",
     .build = flat_image_large,
     .formats = ODD_BOTH,
     BY_ALL("opt.size_of_image")},
    {.name = "image-large", .build = image_large, .formats = ODD_32, BY_ALL("opt.size_of_image")},
    {.name = "flat-headers-whole",
     .build = flat_headers_whole,
     .formats = ODD_BOTH,
     BY_ALL("opt.size_of_headers")},
    {.name = "headers-0",
     .build = headers_0,
     .formats = ODD_BOTH,
     .dll = true,
     BY_ALL("opt.size_of_headers")},
    {.name = "flat-headers-0",
     .build = flat_headers_0,
     .formats = ODD_BOTH,
     .dll = true,
     .map = "0 1000 EWC"},
    {.name = "base-unaligned",
     .build = base_unaligned,
     .formats = ODD_BOTH,
     BY_ALL("opt.image_base")},
    {.name = "optional-header-long",
     .build = optional_header_long,
     .formats = ODD_BOTH,
     BY_7_10("opt.headers_total"),
     RUNS},
    {.name = "optional-header-short",
     .build = optional_header_short,
     .formats = ODD_BOTH,
     BY_7("opt.headers_total"),
     RUNS},
    {.name = "headers-pages",
     .build = headers_pages,
     .formats = ODD_BOTH,
     BY_ALL("opt.headers_pages")},
    {.name = "sections-96", .build = sections_96, .formats = ODD_BOTH, RUNS},
    {.name = "sections-97",
     .build = sections_97,
     .formats = ODD_BOTH,
     BY_XP("sections.count_max"),
     RUNS},
    {.name = "sections-195",
     .build = sections_195,
     .formats = ODD_BOTH,
     BY_XP("sections.count_max"),
     RUNS},
    {.name = "sections-196",
     .build = sections_196,
     .formats = ODD_BOTH,
     .refused = {"sections.count_max", NULL, "sections.table.page"},
     .alone = true,
     RUNS},
    {.name = "table-outside",
     .build = table_outside,
     .formats = ODD_BOTH,
     .dll = true,
     .refused = {"sections.table.file", "sections.table.file", "opt.headers_total"},
     .alone = true,
     .alone_on = PE_WINDOWS_XP | PE_WINDOWS_7},
    {.name = "table-at-end",
     .build = table_at_end,
     .formats = ODD_BOTH,
     BY_7_10("sections.table.file"),
     .output = "",
     .exit_code = 42},
    {.name = "table-before-end",
     .build = table_before_end,
     .formats = ODD_BOTH,
     .output = "",
     .exit_code = 42},
    {.name = "flat-machine",
     .build = flat_machine,
     .formats = ODD_BOTH,
     BY_10("la.machine"),
     NEVER_RUN},
    {.name = "paged-machine", .build = paged_machine, .formats = ODD_BOTH, NEVER_RUN},
    {.name = "no-sections", .build = no_sections, .formats = ODD_BOTH, BY_ALL("sections.some")},
    {.name = "section-gap",
     .build = section_gap,
     .formats = ODD_BOTH,
     BY_ALL("sections.contiguous")},
    {.name = "section-overlap",
     .build = section_overlap,
     .formats = ODD_BOTH,
     BY_ALL("sections.contiguous")},
    {.name = "section-early",
     .build = section_early,
     .formats = ODD_BOTH,
     BY_ALL("sections.contiguous")},
    {.name = "headers-two-pages",
     .build = headers_two_pages,
     .formats = ODD_BOTH,
     .refused = {"sections.contiguous", "sections.contiguous", "sections.contiguous"}},
    {.name = "section-empty",
     .build = section_empty,
     .formats = ODD_BOTH,
     BY_ALL("sections.not_empty")},
    {.name = "image-long",
     .build = size_of_image_long,
     .formats = ODD_BOTH,
     BY_ALL("sections.fit")},
    {.name = "image-short",
     .build = size_of_image_short,
     .formats = ODD_BOTH,
     BY_ALL("sections.fit")},
    {.name = "image-unrounded",
     .build = size_of_image_unrounded,
     .formats = ODD_BOTH,
     .map = "0 1000 R; 1000 1000 WC; 2000 1000 ER",
     RUNS},
    {.name = "raw-wraps", .build = raw_wraps, .formats = ODD_BOTH, BY_ALL("sections.no_wrap")},
    {.name = "raw-far", .build = raw_far, .formats = ODD_BOTH, RUNS},
    {.name = "bss-pointer",
     .build = bss_pointer,
     .formats = ODD_BOTH,
     BY_7("sections.raw_in_file"),
     .bytes = "3000 x 1000 0; 4000 64 61 74 61",
     RUNS},
    {.name = "last-raw-cut",
     .build = last_raw_cut,
     .formats = ODD_BOTH,
     BY_ALL("sections.last_raw")},
    {.name = "last-raw-used",
     .build = last_raw_used,
     .formats = ODD_BOTH,
     BY_10("sections.last_raw"),
     RUNS},
    {.name = "flat-moved", .build = flat_moved, .formats = ODD_BOTH, BY_ALL("la.flat")},
    {.name = "flat-larger", .build = flat_larger, .formats = ODD_BOTH, BY_ALL("la.flat")},
    {.name = "flat-second-moved",
     .build = flat_second_moved,
     .formats = ODD_BOTH,
     BY_7_10("la.flat"),
     RUNS},
    {0},
};
