/*
 * Odd images: for each rule that the creation of a process, the user-mode loader and fixups ask
 * (pe/rules.h, all stages but PE_STAGE_SECTION) an image that it alone refuses, and images that
 * just meet it. Those of the section object: odd_rules.c.
 */
#include "tests/odd/rules_start.h"

const char odd_area[] = "rules_loader";

static void set_version(struct pebuild *b, uint16_t major, uint16_t minor)
{
    b->h.major_subsystem_version = major;
    b->h.minor_subsystem_version = minor;
}

/* ---- creating the process -------------------------------------------------------------------- */

SPOIL(a_dll, b->h.characteristics |= IMAGE_FILE_DLL)
SPOIL(native, b->h.subsystem = IMAGE_SUBSYSTEM_NATIVE)
SPOIL(subsystem_0, b->h.subsystem = 0)
SPOIL(posix, b->h.subsystem = 7)
SPOIL(version_3_9, set_version(b, 3, 9))
SPOIL(version_3_10, set_version(b, 3, 10))
SPOIL(version_5_3, set_version(b, 5, 3))
SPOIL(version_6_1, set_version(b, 6, 1))
SPOIL(version_6_2, set_version(b, 6, 2))
SPOIL(version_6_3, set_version(b, 6, 3))

/* A page of zeroes, the image's last, with a load configuration at `offset` in it. */
static void load_config(struct odd *odd, uint32_t offset, uint32_t size)
{
    static const uint8_t zeroes[0x1000] = {0};
    struct pebuild *b = start(odd);
    uint32_t rva = pebuild_next_rva(b) + offset;
    pebuild_section(b, ".rdata", PEBUILD_RDATA, zeroes, sizeof(zeroes), 0);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, rva, size);
}

static void load_config_unaligned(struct odd *odd)
{
    load_config(odd, 2, 0x40);
}

static void load_config_at_end(struct odd *odd)
{
    load_config(odd, 0x1000 - 0x40, 0x40);
}

static void load_config_before_end(struct odd *odd)
{
    load_config(odd, 0x1000 - 0x44, 0x40);
}

/*
 * What user mode reads ends with the subsystem's first byte, at 0x5d of the NT headers; the data
 * directories behind it may be lost, so the program imports nothing: mov eax, 42; ret.
 */
static void headers_end(struct odd *odd, uint32_t size)
{
    odd_begin(odd, PEBUILD_EXE);
    struct pebuild *b = odd->b;
    pebuild_section(b, ".text", PEBUILD_TEXT, "\xb8\x2a\0\0\0\xc3", 6, 0);
    b->h.address_of_entry_point = b->sections[0].virtual_address;
    b->h.size_of_headers = b->h.e_lfanew + size;
}

static void headers_subsystem(struct odd *odd)
{
    headers_end(odd, 0x5c);
}

static void headers_to_subsystem(struct odd *odd)
{
    headers_end(odd, 0x5d);
}

/* A relocation directory in zero fill; the image stays where it is. */
static void relocs_in_bss(struct odd *odd)
{
    struct pebuild *b = start(odd);
    uint32_t rva = pebuild_next_rva(b);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x100);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BASERELOC, rva, 8);
}

static void relocs_in_bss_unlisted(struct odd *odd)
{
    relocs_in_bss(odd);
    odd->b->h.number_of_rva_and_sizes = 5;
}

/* ---- the user-mode loader -------------------------------------------------------------------- */

SPOIL_FLAT(probe_2c, b->h.size_of_headers = 0x2c)
SPOIL_FLAT(probe_2d, b->h.size_of_headers = 0x2d)

/* Flat; the headers end 0x13 bytes, or one more, before the file does. */
static void probe_end(struct odd *odd, uint32_t left)
{
    struct pebuild *b = start_flat(odd);
    uint32_t end = b->sections[1].virtual_address + b->sections[1].size_of_raw_data;
    b->h.size_of_headers = end - left;
    b->h.address_of_entry_point = 0;
    odd_finish(odd);
}

static void probe_at_end(struct odd *odd)
{
    probe_end(odd, 0x13);
}

static void probe_before_end(struct odd *odd)
{
    probe_end(odd, 0x14);
}

/* Flat, so that headers can be executed. */
static void entry_in_headers(struct odd *odd)
{
    struct pebuild *b = start_flat(odd);
    b->h.size_of_headers = b->h.address_of_entry_point + 1;
}

SPOIL_FLAT(entry_behind_headers, b->h.size_of_headers = b->h.address_of_entry_point)

/* The image ends at 0x70000000, or a page below. */
static void end_at(struct odd *odd, uint32_t size)
{
    struct pebuild *b = start(odd);
    b->h.image_base = 0x6fff0000;
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, size - pebuild_next_rva(b));
}

static void end_at_limit(struct odd *odd)
{
    end_at(odd, 0x10000);
}

static void end_below_limit(struct odd *odd)
{
    end_at(odd, 0xf000);
}

/*
 * The first base that no process can have. Flat, so that a PE section's header may say anything of
 * where it ends.
 */
static uint64_t kernel_base(void)
{
    return sizeof(void *) == 8 ? 0x800000000000u : 0x80000000u;
}

static void unmapped_section(struct odd *odd, uint32_t characteristics)
{
    struct pebuild *b = start_flat(odd);
    b->h.image_base = kernel_base();
    b->sections[1].virtual_size = b->sections[1].size_of_raw_data = 0x10000;
    b->sections[1].characteristics = characteristics;
}

static void unmapped_readable(struct odd *odd)
{
    unmapped_section(odd, PEBUILD_TEXT);
}

static void unmapped_writable(struct odd *odd)
{
    unmapped_section(odd, PEBUILD_TEXT | IMAGE_SCN_MEM_WRITE);
}

/* A debug directory of one entry, with raw data from 0x10 on. */
static void debug_data(struct pebuild *b, uint32_t size)
{
    uint8_t entry[28] = {0};
    pebuild_put32(entry, 16, size);
    pebuild_put32(entry, 24, 0x10);
    uint32_t i = pebuild_section(b, ".debug", PEBUILD_RDATA, entry, sizeof(entry), 0);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_DEBUG, b->sections[i].virtual_address, 28);
}

/* Flat; the raw data end `beyond` bytes behind the end of the file. */
static void debug_to_end(struct odd *odd, uint32_t beyond)
{
    struct pebuild *b = start_flat(odd);
    debug_data(b, 0);
    struct pebuild_section *s = &b->sections[2];
    uint32_t end = s->pointer_to_raw_data + s->size_of_raw_data;
    pebuild_put32(s->data, 16, end - 0x10 + beyond);
}

static void debug_outside(struct odd *odd)
{
    debug_to_end(odd, 1);
}

static void debug_inside(struct odd *odd)
{
    debug_to_end(odd, 0);
}

static void debug_outside_paged(struct odd *odd)
{
    debug_data(start(odd), 0x100000);
}

static void certificate(struct odd *odd, uint32_t left)
{
    start(odd);
    odd_finish(odd);
    uint64_t at = odd_directory(odd, IMAGE_DIRECTORY_ENTRY_SECURITY);
    pebuild_put32(odd->bytes, at, (uint32_t)odd->size - left);
    pebuild_put32(odd->bytes, at + 4, 8);
}

static void certificate_outside(struct odd *odd)
{
    certificate(odd, 7);
}

static void certificate_inside(struct odd *odd)
{
    certificate(odd, 8);
}

/* A TLS directory of zeroes at the end of the image, or a byte too far. */
static void tls_at(struct odd *odd, uint32_t beyond)
{
    struct pebuild *b = start(odd);
    uint32_t size = b->h.pe32_plus ? 40 : 24;
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_TLS, b->h.size_of_image - size + beyond, size);
}

static void tls_outside(struct odd *odd)
{
    tls_at(odd, 1);
}

static void tls_inside(struct odd *odd)
{
    tls_at(odd, 0);
}

static void tls_outside_dll(struct odd *odd)
{
    struct pebuild *b = start_dll(odd);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_TLS, 0xfffffff8, 24);
}

SPOIL(imports_no_size, b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT].size = 0)
SPOIL(imports_size_1, b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT].size = 1)

/* ---- images that have to move ---------------------------------------------------------------- */

/* From a base that no process can have; they go to 0x10000. `words` are the relocation directory.
 */
static struct pebuild *moving(struct odd *odd, const uint16_t *words, uint32_t count)
{
    struct pebuild *b = start(odd);
    b->h.image_base = kernel_base();
    if (count) {
        uint32_t i = pebuild_section(b, ".reloc", PEBUILD_RDATA, words, count * 2, 0);
        pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BASERELOC, b->sections[i].virtual_address,
                          count * 2);
    }
    return b;
}

/* One block of one fixup and a pad. */
static void one_fixup(struct odd *odd, uint32_t page, uint16_t entry)
{
    const uint16_t words[] = {(uint16_t)page, (uint16_t)(page >> 16), 12, 0, entry, 0};
    moving(odd, words, 6);
}

static uint16_t pointer_type(void)
{
    return sizeof(void *) == 8 ? 0xa000 : 0x3000;
}

static void moves_without_fixups(struct odd *odd)
{
    moving(odd, NULL, 0);
}

static void moves_stripped(struct odd *odd)
{
    moving(odd, NULL, 0)->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
}

/* Into the text, where nothing minds, behind the code. */
static void moves_stripped_with_fixups(struct odd *odd)
{
    const uint16_t words[] = {0x2000, 0, 12, 0, (uint16_t)(pointer_type() | 0xff0), 0};
    moving(odd, words, 6)->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
}

static void block_beyond(struct odd *odd)
{
    const uint16_t words[] = {0x2000, 0, 14, 0, 0, 0};
    moving(odd, words, 6);
}

static void block_below_header(struct odd *odd)
{
    const uint16_t words[] = {0x2000, 0, 7, 0, 0, 0};
    moving(odd, words, 6);
}

/* Type 4 takes two entries, and the block has one. */
static void block_half_entry(struct odd *odd)
{
    const uint16_t words[] = {0x2000, 0, 10, 0, 0x4ff0};
    moving(odd, words, 5);
}

static void block_exact(struct odd *odd)
{
    const uint16_t words[] = {0x2000, 0, 12, 0, 0x4ff0, 0};
    moving(odd, words, 6);
}

static void type_6(struct odd *odd)
{
    one_fixup(odd, 0x2000, 0x6ff0);
}

static void type_8(struct odd *odd)
{
    one_fixup(odd, 0x2000, 0x8ff0);
}

static void fixup_outside(struct odd *odd)
{
    one_fixup(odd, 0x4000, pointer_type());
}

/* The last bytes of the image. */
static void fixup_at_end(struct odd *odd)
{
    one_fixup(odd, 0x3000, (uint16_t)(pointer_type() | (0x1000 - sizeof(void *))));
}

/* Type 2 adds the low half of the distance, which is 0: what it hits stays as it is. */
static void fixup_mz(struct odd *odd)
{
    one_fixup(odd, 0, 0x2000);
}

static void fixup_lfanew(struct odd *odd)
{
    one_fixup(odd, 0, 0x203c);
}

static void fixup_nt(struct odd *odd)
{
    one_fixup(odd, 0, 0x2082);
}

static void fixup_machine(struct odd *odd)
{
    one_fixup(odd, 0, 0x2084);
}

const struct odd_row odd_rows[] = {
    {.name = "a-dll", .build = a_dll, .formats = ODD_BOTH, BY_XP_10("exe.not_dll"), RUNS},
    {.name = "native", .build = native, .formats = ODD_BOTH, BY_ALL("exe.subsystem")},
    {.name = "subsystem-0", .build = subsystem_0, .formats = ODD_BOTH, BY_ALL("exe.subsystem")},
    {.name = "posix", .build = posix, .formats = ODD_BOTH, BY_ALL("exe.subsystem")},
    {.name = "version-3-9",
     .build = version_3_9,
     .formats = ODD_BOTH,
     BY_ALL("exe.subsystem_version")},
    {.name = "version-3-10", .build = version_3_10, .formats = ODD_BOTH, RUNS},
    {.name = "version-5-3",
     .build = version_5_3,
     .formats = ODD_BOTH,
     BY_XP("exe.subsystem_version"),
     RUNS},
    {.name = "version-6-1",
     .build = version_6_1,
     .formats = ODD_BOTH,
     BY_XP("exe.subsystem_version"),
     RUNS},
    {.name = "version-6-2",
     .build = version_6_2,
     .formats = ODD_BOTH,
     BY_XP_7("exe.subsystem_version"),
     RUNS},
    {.name = "version-6-3",
     .build = version_6_3,
     .formats = ODD_BOTH,
     .refused = {"exe.subsystem_version", "exe.subsystem_version", "loadcfg.modern"},
     .alone = true},
    {.name = "load-config-unaligned",
     .build = load_config_unaligned,
     .formats = ODD_BOTH,
     BY_XP_10("exe.load_config"),
     RUNS},
    {.name = "load-config-at-end",
     .build = load_config_at_end,
     .formats = ODD_BOTH,
     BY_XP_10("exe.load_config"),
     RUNS},
    {.name = "load-config-before-end", .build = load_config_before_end, .formats = ODD_BOTH, RUNS},
    {.name = "headers-subsystem",
     .build = headers_subsystem,
     .formats = ODD_BOTH,
     BY_10("exe.headers_mapped"),
     .output = "",
     .exit_code = 42},
    {.name = "headers-to-subsystem",
     .build = headers_to_subsystem,
     .formats = ODD_BOTH,
     .output = "",
     .exit_code = 42},
    {.name = "relocs-in-bss",
     .build = relocs_in_bss,
     .formats = ODD_BOTH,
     BY_10("exe.reloc_directory"),
     RUNS},
    {.name = "relocs-in-bss-unlisted", .build = relocs_in_bss_unlisted, .formats = ODD_BOTH, RUNS},
    {.name = "probe-2c", .build = probe_2c, .formats = ODD_BOTH, BY_XP_10("headers.probe"), RUNS},
    {.name = "probe-2d", .build = probe_2d, .formats = ODD_BOTH, RUNS},
    {.name = "probe-at-end",
     .build = probe_at_end,
     .formats = ODD_BOTH,
     BY_XP_10("headers.probe"),
     .why_not = "it would begin with its MZ header"},
    {.name = "probe-before-end",
     .build = probe_before_end,
     .formats = ODD_BOTH,
     .why_not = "it would begin with its MZ header"},
    {.name = "entry-in-headers",
     .build = entry_in_headers,
     .formats = ODD_BOTH,
     BY_10("ldr.entry"),
     RUNS},
    {.name = "entry-behind-headers", .build = entry_behind_headers, .formats = ODD_BOTH, RUNS},
    {.name = "end-at-limit", .build = end_at_limit, .formats = ODD_32, BY_7("ldr.end"), RUNS},
    {.name = "end-below-limit", .build = end_below_limit, .formats = ODD_32, RUNS},
    {.name = "unmapped-readable",
     .build = unmapped_readable,
     .formats = ODD_BOTH,
     BY_7_10("ldr.unmapped_sections"),
     RUNS},
    {.name = "unmapped-writable", .build = unmapped_writable, .formats = ODD_BOTH, RUNS},
    {.name = "debug-outside",
     .build = debug_outside,
     .formats = ODD_BOTH,
     BY_ALL("debug.low_alignment")},
    {.name = "debug-inside", .build = debug_inside, .formats = ODD_BOTH, RUNS},
    {.name = "debug-outside-paged", .build = debug_outside_paged, .formats = ODD_BOTH, RUNS},
    {.name = "certificate-outside",
     .build = certificate_outside,
     .formats = ODD_BOTH,
     BY_7_10("cert.inside"),
     RUNS},
    {.name = "certificate-inside", .build = certificate_inside, .formats = ODD_BOTH, RUNS},
    {.name = "tls-outside", .build = tls_outside, .formats = ODD_BOTH, BY_ALL("tls.inside")},
    {.name = "tls-inside", .build = tls_inside, .formats = ODD_BOTH, RUNS},
    {.name = "tls-outside-dll",
     .build = tls_outside_dll,
     .formats = ODD_BOTH,
     .dll = true,
     BY_ALL("tls.inside")},
    {.name = "imports-no-size",
     .build = imports_no_size,
     .formats = ODD_BOTH,
     BY_10("imports.size"),
     RUNS},
    {.name = "imports-size-1", .build = imports_size_1, .formats = ODD_BOTH, RUNS},
    {.name = "moves-without-fixups",
     .build = moves_without_fixups,
     .formats = ODD_BOTH,
     .map = "base 10000; 0 1000 R; 1000 1000 WC; 2000 1000 ER",
     RUNS},
    {.name = "moves-stripped",
     .build = moves_stripped,
     .formats = ODD_BOTH,
     BY_ALL("reloc.stripped")},
    {.name = "moves-stripped-with-fixups",
     .build = moves_stripped_with_fixups,
     .formats = ODD_BOTH,
     .map = "base 10000",
     RUNS},
    {.name = "block-beyond", .build = block_beyond, .formats = ODD_BOTH, BY_ALL("reloc.blocks")},
    {.name = "block-below-header",
     .build = block_below_header,
     .formats = ODD_BOTH,
     BY_ALL("reloc.blocks")},
    {.name = "block-half-entry",
     .build = block_half_entry,
     .formats = ODD_BOTH,
     BY_ALL("reloc.blocks")},
    {.name = "block-exact", .build = block_exact, .formats = ODD_BOTH, RUNS},
    {.name = "type-6", .build = type_6, .formats = ODD_BOTH, BY_10("reloc.types"), RUNS},
    {.name = "type-8", .build = type_8, .formats = ODD_BOTH, BY_ALL("reloc.types")},
    {.name = "fixup-outside", .build = fixup_outside, .formats = ODD_BOTH, BY_ALL("reloc.inside")},
    {.name = "fixup-at-end", .build = fixup_at_end, .formats = ODD_BOTH, RUNS},
    {.name = "fixup-mz", .build = fixup_mz, .formats = ODD_BOTH, BY_7_10("reloc.headers"), RUNS},
    {.name = "fixup-lfanew",
     .build = fixup_lfanew,
     .formats = ODD_BOTH,
     BY_7_10("reloc.headers"),
     RUNS},
    {.name = "fixup-nt", .build = fixup_nt, .formats = ODD_BOTH, BY_7_10("reloc.headers"), RUNS},
    {.name = "fixup-machine", .build = fixup_machine, .formats = ODD_BOTH, RUNS},
    {0},
};
