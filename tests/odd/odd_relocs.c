/*
 * Odd images: where an image goes, and what its base relocations do (behaviours, Relocations).
 *
 * An image based in kernel space goes to 0x10000, so that every difference is known beforehand: the
 * programs compare what fixups made of their data with it. Code itself never needs a fixup
 * (odd_code.c); where a row lets fixups change code, that is what it shows.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/odd/odd.h"

const char odd_area[] = "relocs";

enum {
    MOVED = 0x10000, /* where an image goes whose base nobody can have */
    TEXT = 0x2000,   /* RVAs of the programs below */
    DATA = 0x3000,
    RELOC = 0x4000,
    POINTER = DATA,         /* a pointer to DATA itself */
    SCRATCH = DATA + 0x100, /* what fixups of odd types change */
    DATA_SIZE = 0x1000,
    KERNEL_DELTA = 0x20000, /* from kernel_base() to MOVED, in as many bits as a pointer has */
    FLAT_ALIGNMENT = 0x800,
};

enum type { ABSOLUTE, HIGH, LOW, HIGHLOW, HIGHADJ, JMPADDR, SECTION, REL32, IA64 = 9, DIR64 };
#define FIX(type, offset) (uint16_t)((type) << 12 | (offset))

static bool is_wide(void)
{
    return sizeof(void *) == 8;
}

static uint64_t kernel_base(void)
{
    return is_wide() ? 0xffffffffffff0000u : 0xffff0000u;
}

/* ---- building blocks ------------------------------------------------------------------------- */

static void begin(struct odd *odd, uint64_t base)
{
    odd_program(odd, PEBUILD_EXE);
    odd->b->h.image_base = base;
}

/* ".text", and ".data" with room for `data`. */
static uint8_t *data_section(struct odd *odd)
{
    uint8_t *zeroes = calloc(1, DATA_SIZE);
    if (!zeroes)
        abort();
    odd_text(odd);
    uint32_t i = pebuild_section(odd->b, ".data", PEBUILD_DATA, zeroes, DATA_SIZE, 0);
    free(zeroes);
    return odd->b->sections[i].data;
}

/* ".data" with the pointer, as it is for `base`. */
static uint8_t *pointer_section(struct odd *odd, uint64_t base)
{
    uint8_t *data = data_section(odd);
    if (is_wide())
        pebuild_put64(data, 0, base + POINTER);
    else
        pebuild_put32(data, 0, (uint32_t)base + POINTER);
    return data;
}

/* What a right pointer makes the program print; the upper half of a narrow one is unused. */
#define POINTER_RIGHT "upper half right\npointer right"

static void print_pointer(struct odd *odd, uint32_t base)
{
    odd_print_if32(odd, POINTER + 4, 0, "upper half right", "upper half wrong");
    odd_print_if32(odd, POINTER, base + POINTER, "pointer right", "pointer wrong");
}

static void block_of(struct pebuild_buffer *buf, uint32_t page, const uint16_t *entries,
                     uint32_t size)
{
    pebuild_u32(buf, page);
    pebuild_u32(buf, 8 + size);
    for (uint32_t i = 0; i < size / 2; i++)
        pebuild_u16(buf, entries[i]);
}
#define BLOCK(buf, page, ...) \
    block_of(buf, page, (const uint16_t[]){__VA_ARGS__}, sizeof((const uint16_t[]){__VA_ARGS__}))

/* The blocks become ".reloc"; the directory is all of it. */
static void reloc_section(struct odd *odd, struct pebuild_buffer *buf)
{
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_BASERELOC, buf->rva, buf->size);
    pebuild_buffer_section(buf, ".reloc", PEBUILD_RDATA | IMAGE_SCN_MEM_DISCARDABLE);
}

static uint16_t pointer_fix(uint32_t offset)
{
    return FIX(is_wide() ? DIR64 : HIGHLOW, offset);
}

static void pointer_reloc(struct odd *odd)
{
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    BLOCK(&buf, DATA, pointer_fix(0), FIX(ABSOLUTE, 0));
    reloc_section(odd, &buf);
}

/* A program that says whether its pointer is right for `expected`. */
static void pointer_program(struct odd *odd, uint64_t base, uint32_t expected)
{
    begin(odd, base);
    print_pointer(odd, expected);
    odd_exit(odd, 0);
}

static void relocated_from(struct odd *odd, uint64_t base)
{
    pointer_program(odd, base, MOVED);
    pointer_section(odd, base);
    pointer_reloc(odd);
}

/* The same from kernel space, with ".reloc" still to be written. */
static struct pebuild_buffer moving(struct odd *odd)
{
    pointer_program(odd, kernel_base(), MOVED);
    pointer_section(odd, kernel_base());
    return pebuild_buffer(odd->b);
}

/* ---- where it goes --------------------------------------------------------------------------- */

static void kernel_with_relocs(struct odd *odd)
{
    relocated_from(odd, kernel_base());
}

static void first_kernel_address(struct odd *odd)
{
    relocated_from(odd, is_wide() ? 0x800000000000u : 0x80000000u);
}

static void base_zero(struct odd *odd)
{
    relocated_from(odd, 0);
}

/* Nobody corrects the pointer: it was made for the new base. */
static void moves_prepared(struct odd *odd, uint64_t base)
{
    pointer_program(odd, base, MOVED);
    pointer_section(odd, MOVED);
}

static void kernel_without_relocs(struct odd *odd)
{
    moves_prepared(odd, kernel_base());
}

static void noncanonical_without_relocs(struct odd *odd)
{
    moves_prepared(odd, 0x0123456789ab0000u);
}

static void stripped_without_relocs(struct odd *odd)
{
    moves_prepared(odd, kernel_base());
    odd->b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
}

static void stripped_with_relocs(struct odd *odd)
{
    relocated_from(odd, kernel_base());
    odd->b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
}

static void noncanonical_stripped(struct odd *odd)
{
    relocated_from(odd, 0x0123456789ab0000u);
    odd->b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
}

static void high_user_base(struct odd *odd)
{
    pointer_program(odd, 0x7efd0000, 0x7efd0000);
    odd->b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
    pointer_section(odd, 0x7efd0000);
}

static void dynamic_but_stripped(struct odd *odd)
{
    pointer_program(odd, 0x400000, 0x400000);
    odd->b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
    odd->b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    pointer_section(odd, 0x400000);
    pointer_reloc(odd);
}

/* ---- directories ----------------------------------------------------------------------------- */

static void garbage_directory(struct odd *odd)
{
    pointer_program(odd, 0x400000, 0x400000);
    pointer_section(odd, 0x400000);
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    BLOCK(&buf, 0xdeadbeef, FIX(15, 0xfff), FIX(8, 1), FIX(HIGHADJ, 0));
    pebuild_patch32(&buf, buf.rva + 4, 0x7fffffff);
    reloc_section(odd, &buf);
}

static void directory_beyond_file(struct odd *odd)
{
    garbage_directory(odd);
    odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].size = 0x8000;
}

/* The last block goes on in the zero fill behind the raw data, which is the end of the file. */
static void directory_in_zero_fill(struct odd *odd)
{
    struct pebuild_buffer buf = moving(odd);
    BLOCK(&buf, DATA, pointer_fix(0));
    pebuild_patch32(&buf, buf.rva + 4, 0x300);
    reloc_section(odd, &buf);
    odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].size = 0x300;
    odd->b->sections[odd->b->section_count - 1].virtual_size = 0x300;
}

static void empty_blocks(struct odd *odd)
{
    struct pebuild_buffer buf = moving(odd);
    block_of(&buf, 0xfffff000, NULL, 0);
    BLOCK(&buf, DATA, pointer_fix(0));
    block_of(&buf, 0, NULL, 0);
    reloc_section(odd, &buf);
}

/* A block that says `size` of itself. */
static void block_size(struct odd *odd, uint32_t size)
{
    struct pebuild_buffer buf = moving(odd);
    BLOCK(&buf, DATA, pointer_fix(0), FIX(ABSOLUTE, 0));
    pebuild_patch32(&buf, buf.rva + 4, size);
    reloc_section(odd, &buf);
}

static void block_of_size_zero(struct odd *odd)
{
    block_size(odd, 0);
}

static void block_of_odd_size(struct odd *odd)
{
    block_size(odd, 11);
    odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].size = 11;
}

static void block_too_large(struct odd *odd)
{
    block_size(odd, 14);
}

static void highadj_without_parameter(struct odd *odd)
{
    struct pebuild_buffer buf = moving(odd);
    BLOCK(&buf, DATA, pointer_fix(0), FIX(HIGHADJ, 0x100));
    reloc_section(odd, &buf);
}

/* ---- where fixups may go --------------------------------------------------------------------- */

/* A fixup beside the pointer's; `rva` counts from the PE signature when `from_nt`. */
static void fixup_at(struct odd *odd, uint32_t rva, bool from_nt)
{
    struct pebuild_buffer buf = moving(odd);
    rva += from_nt ? odd->b->h.e_lfanew : 0;
    BLOCK(&buf, DATA, pointer_fix(0));
    BLOCK(&buf, rva & ~0xfffu, FIX(HIGHLOW, rva & 0xfff));
    reloc_section(odd, &buf);
}

static void fixup_outside(struct odd *odd)
{
    fixup_at(odd, 0x5000, false);
}

static void fixup_across_the_end(struct odd *odd)
{
    fixup_at(odd, 0x4ffe, false);
}

static void fixup_of_signature(struct odd *odd)
{
    fixup_at(odd, 0, true);
}

static void fixup_of_mz(struct odd *odd)
{
    fixup_at(odd, 0, false);
}

static void fixup_of_lfanew(struct odd *odd)
{
    fixup_at(odd, 0x3c, false);
}

/* ---- types ----------------------------------------------------------------------------------- */

/* One fixup of `type` beside the pointer's. */
static void one_type(struct odd *odd, enum type type)
{
    struct pebuild_buffer buf = moving(odd);
    BLOCK(&buf, DATA, pointer_fix(0), FIX(type, SCRATCH - DATA));
    reloc_section(odd, &buf);
}

static void type_5(struct odd *odd)
{
    one_type(odd, JMPADDR);
}

static void type_6(struct odd *odd)
{
    one_type(odd, SECTION);
}

static void type_7(struct odd *odd)
{
    one_type(odd, REL32);
}

static void type_8(struct odd *odd)
{
    one_type(odd, 8);
}

static void type_9(struct odd *odd)
{
    one_type(odd, IA64);
}

static void type_11(struct odd *odd)
{
    one_type(odd, 11);
}

static void type_15(struct odd *odd)
{
    one_type(odd, 15);
}

/* The types that Windows 10 knows, each on a field of zeroes. */
static void common_types(struct odd *odd)
{
    begin(odd, kernel_base());
    odd_print_if32(odd, SCRATCH, 2, "1: 2", "1: wrong");
    odd_print_if32(odd, SCRATCH + 8, 0, "2: 0", "2: wrong");
    odd_print_if32(odd, SCRATCH + 16, KERNEL_DELTA, "3: 20000", "3: wrong");
    odd_print_if32(odd, SCRATCH + 24, 2, "4: 2", "4: wrong");
    odd_print_if32(odd, SCRATCH + 32, KERNEL_DELTA, "10: 20000", "10: wrong");
    odd_exit(odd, 0);
    data_section(odd);
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    BLOCK(&buf, SCRATCH, FIX(ABSOLUTE, 0), FIX(HIGH, 0), FIX(LOW, 8), FIX(HIGHLOW, 16),
          FIX(HIGHADJ, 24), 0x1234, FIX(DIR64, 32));
    reloc_section(odd, &buf);
}

/*
 * Types that do things no linker asks for; a block that makes the next one as long as it is; fixups
 * that make code of what is none.
 */
static void self_modifying(struct odd *odd, uint64_t base, uint32_t delta)
{
    const uint32_t high = delta >> 16, decoding = 5;
    begin(odd, base);
    print_pointer(odd, MOVED);
    odd_print_if32(odd, SCRATCH, high, "1 adds the high half", "1: wrong");
    odd_print_if32(odd, SCRATCH + 8, 0, "2 does nothing", "2: wrong");
    odd_print_if32(odd, SCRATCH + 16, high, "4 takes two entries", "4: wrong");
    odd_print_if32(odd, SCRATCH + 24, 0xfc000001 + (delta >> 2), "5 is MIPS's", "5: wrong");
    odd_print_if32(odd, SCRATCH + 32, 0, "6 does nothing", "6: wrong");
    odd_print_if32(odd, SCRATCH + 40, 0, "7 does nothing", "7: wrong");
    odd_print_if32(odd, SCRATCH + 64, delta, "10 adds", "10: wrong");
    odd_exit(odd, 0);
    uint8_t *data = pointer_section(odd, base);
    pebuild_put32(data, SCRATCH - DATA + 24, 0xfc000001);
    struct pebuild_section *text = &odd->b->sections[odd->b->section_count - 2];
    uint16_t code = (uint16_t)(text->data[0] | text->data[1] << 8);
    pebuild_put16(text->data, 0, (uint16_t)(code - decoding * high));

    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    BLOCK(&buf, SCRATCH, FIX(ABSOLUTE, 0), FIX(HIGH, 0), FIX(LOW, 8), FIX(HIGHADJ, 16), FIX(8, 0),
          FIX(JMPADDR, 24), FIX(SECTION, 32), FIX(REL32, 40), FIX(IA64, 48), FIX(DIR64, 64));
    uint32_t next = pebuild_here(&buf) + 12; /* the block behind the one that changes it */
    BLOCK(&buf, (next + 4) & ~0xfffu, FIX(HIGHLOW, (next + 4) & 0xfff), FIX(ABSOLUTE, 0));
    BLOCK(&buf, DATA, pointer_fix(0), FIX(ABSOLUTE, 0));
    pebuild_patch32(&buf, next + 4, 12 - delta);
    BLOCK(&buf, TEXT, FIX(HIGH, 0), FIX(HIGH, 0), FIX(HIGH, 0), FIX(HIGH, 0), FIX(HIGH, 0));
    reloc_section(odd, &buf);
}

#define SELF_MODIFYING                                                                         \
    POINTER_RIGHT "\n1 adds the high half\n2 does nothing\n4 takes two entries\n5 is MIPS's\n" \
                  "6 does nothing\n7 does nothing\n10 adds"

static void self_modifying_kernel(struct odd *odd)
{
    self_modifying(odd, kernel_base(), KERNEL_DELTA);
}

static void self_modifying_zero(struct odd *odd)
{
    self_modifying(odd, 0, MOVED);
}

/* The parameter of type 4 is a low half: with a sign before Windows 8, without one since. */
static void type_4(struct odd *odd)
{
    begin(odd, kernel_base());
    odd_print_if32(odd, SCRATCH, 2, "0: 2", "0: 3");
    odd_print_if32(odd, SCRATCH + 4, 2, "7fff: 2", "7fff: 3");
    odd_print_if32(odd, SCRATCH + 8, 2, "8000: 2", "8000: 3");
    odd_print_if32(odd, SCRATCH + 12, 2, "ffff: 2", "ffff: 3");
    odd_exit(odd, 0);
    data_section(odd);
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    BLOCK(&buf, SCRATCH, FIX(HIGHADJ, 0), 0, FIX(HIGHADJ, 4), 0x7fff, FIX(HIGHADJ, 8), 0x8000,
          FIX(HIGHADJ, 12), 0xffff);
    reloc_section(odd, &buf);
}

/*
 * Type 9 adds to the immediate of IA-64's MOVL, spread over a bundle of 16 bytes. XP's difference
 * has 32 bits in a 32-bit program, Windows 7's 64, of which the upper ones are set here.
 */
static void type_9_bundle(struct odd *odd, uint32_t second, uint32_t third, uint32_t fourth)
{
    begin(odd, kernel_base());
    odd_print_if32(odd, SCRATCH, 0x1f, "template", "wrong template");
    odd_print_if32(odd, SCRATCH + 4, second, "second", "wrong second");
    odd_print_if32(odd, SCRATCH + 8, third, "third", "wrong third");
    odd_print_if32(odd, SCRATCH + 12, fourth, "fourth", "wrong fourth");
    odd_exit(odd, 0);
    uint8_t *data = data_section(odd);
    pebuild_put32(data, SCRATCH - DATA, 0x1f);
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    BLOCK(&buf, SCRATCH, FIX(IA64, 0));
    reloc_section(odd, &buf);
}

static void type_9_short(struct odd *odd)
{
    type_9_bundle(odd, 0, 0, 0x00004000);
}

static void type_9_long(struct odd *odd)
{
    type_9_bundle(odd, 0xff000000, 0x007fffff, 0x08004000);
}

/*
 * Which system is this? A fixup of type 4 makes the next entry 9f00 (type 9) before Windows 8, and
 * a000 (type 10) since.
 */
static void detects(struct odd *odd)
{
    begin(odd, kernel_base());
    odd_print_if32(odd, DATA + 0xf0c, 0x00004000, "type 9, short", "not type 9, short");
    odd_print_if32(odd, DATA + 0xf0c, 0x08004000, "type 9, long", "not type 9, long");
    odd_print_if32(odd, DATA, KERNEL_DELTA, "type 10", "not type 10");
    odd_exit(odd, 0);
    data_section(odd);
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    uint32_t entry = pebuild_here(&buf) + 12 + 8;
    BLOCK(&buf, RELOC, FIX(HIGHADJ, (entry + 1) & 0xfff), 0xffff);
    BLOCK(&buf, DATA, 0x9d00, FIX(ABSOLUTE, 0));
    reloc_section(odd, &buf);
}

/* ---- images with low alignment --------------------------------------------------------------- */

/*
 * One flat piece of memory, writable with its headers. No PE sections and no SizeOfOptionalHeader,
 * as in the images that were seen to run on Windows 7.
 */
static void flat_begin(struct odd *odd, uint64_t base)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = odd->b->h.file_alignment = FLAT_ALIGNMENT;
    odd->b->h.size_of_headers = FLAT_ALIGNMENT;
    odd_program(odd, PEBUILD_EXE);
    odd->b->h.image_base = base;
}

static void flat_finish(struct odd *odd)
{
    odd_finish(odd);
    pebuild_put16(odd->bytes, odd_nt(odd) + 6, 0);  /* NumberOfSections */
    pebuild_put16(odd->bytes, odd_nt(odd) + 20, 0); /* SizeOfOptionalHeader */
}

static uint32_t optional_rva(const struct odd *odd)
{
    return odd->b->h.e_lfanew + 24;
}

/* The entry point is right by the image base that a fixup has made. */
static void flat_base(struct odd *odd)
{
    flat_begin(odd, kernel_base());
    uint32_t base_field = optional_rva(odd) + (is_wide() ? 24 : 28);
    odd_print_if32(odd, base_field, MOVED, "ImageBase is relocated", "ImageBase is not relocated");
    odd_exit(odd, 0);
    odd_text(odd);
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    BLOCK(&buf, 0, pointer_fix(base_field), FIX(ABSOLUTE, 0));
    reloc_section(odd, &buf);
    odd->b->h.address_of_entry_point += KERNEL_DELTA;
    flat_finish(odd);
}

/* A second list of import descriptors: it names a DLL that nobody has. */
static uint32_t absent_imports(struct odd *odd)
{
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    uint32_t list = pebuild_zeroes(&buf, 40);
    pebuild_align(&buf, 8);
    uint32_t table = pebuild_zeroes(&buf, 16);
    uint32_t hint = pebuild_u16(&buf, 0);
    pebuild_str(&buf, "Nothing");
    pebuild_patch_ptr(&buf, table, hint);
    pebuild_patch32(&buf, list + 12, pebuild_str(&buf, "absent.dll"));
    pebuild_patch32(&buf, list + 16, table);
    pebuild_buffer_section(&buf, ".absent", PEBUILD_DATA);
    return list;
}

/* e_lfanew, moved by a fixup, names a second header; one of the two has the right imports. */
static void flat_lfanew(struct odd *odd, bool second_is_right)
{
    flat_begin(odd, kernel_base());
    odd_print(odd,
              second_is_right ? "imports of the second header" : "imports of the first header");
    odd_exit(odd, 0);
    odd_text(odd);
    uint32_t right = odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT].rva;
    uint32_t wrong = absent_imports(odd);
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    BLOCK(&buf, 0, FIX(HIGHLOW, 0x3c), FIX(ABSOLUTE, 0));
    reloc_section(odd, &buf);
    odd->b->h.size_of_image = KERNEL_DELTA + FLAT_ALIGNMENT;
    flat_finish(odd);
    odd_resize(odd, KERNEL_DELTA + FLAT_ALIGNMENT);
    memcpy(odd->bytes + KERNEL_DELTA, odd->bytes, FLAT_ALIGNMENT);
    uint64_t import = odd_directory(odd, IMAGE_DIRECTORY_ENTRY_IMPORT);
    pebuild_put32(odd->bytes, import, second_is_right ? wrong : right);
    pebuild_put32(odd->bytes, KERNEL_DELTA + import, second_is_right ? right : wrong);
}

static void flat_second_header(struct odd *odd)
{
    flat_lfanew(odd, true);
}

static void flat_first_header(struct odd *odd)
{
    flat_lfanew(odd, false);
}

/* A pointer of a flat image that has to move. */
static void flat_pointer(struct odd *odd)
{
    flat_begin(odd, kernel_base());
    uint32_t slot = 0x1800;
    odd_print_if32(odd, slot, MOVED + slot, "relocated", "not relocated");
    odd_exit(odd, 0);
    odd_text(odd);
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    pebuild_zeroes(&buf, slot - buf.rva);
    pebuild_ptr(&buf, kernel_base() + slot);
    pebuild_buffer_section(&buf, ".data", PEBUILD_DATA);
    buf = pebuild_buffer(odd->b);
    BLOCK(&buf, slot & ~0xfffu, pointer_fix(slot & 0xfff));
    reloc_section(odd, &buf);
    flat_finish(odd);
}

#define LAYOUT            "base 10000; 0 1000 R; 1000 1000 WC; 2000 1000 ER; 3000 1000 WC"
#define LAYOUT_WITH_RELOC LAYOUT "; 4000 1000 R"

const struct odd_row odd_rows[] = {
    {.name = "kernel-base",
     .shows = "relocs-01",
     .build = kernel_with_relocs,
     .formats = ODD_BOTH,
     .map = LAYOUT_WITH_RELOC,
     .output = POINTER_RIGHT},
    {.name = "first-kernel-address",
     .shows = "relocs-01",
     .build = first_kernel_address,
     .formats = ODD_BOTH,
     .map = LAYOUT_WITH_RELOC,
     .output = POINTER_RIGHT},
    {.name = "kernel-base-no-relocs",
     .shows = "relocs-02",
     .build = kernel_without_relocs,
     .formats = ODD_BOTH,
     .map = LAYOUT,
     .output = POINTER_RIGHT},
    {.name = "noncanonical-no-relocs",
     .shows = "relocs-03",
     .build = noncanonical_without_relocs,
     .formats = ODD_64,
     .map = LAYOUT,
     .output = POINTER_RIGHT},
    {.name = "base-zero",
     .shows = "relocs-04",
     .build = base_zero,
     .formats = ODD_BOTH,
     .map = LAYOUT_WITH_RELOC,
     .output = POINTER_RIGHT},
    {.name = "high-user-base",
     .shows = "relocs-09",
     .build = high_user_base,
     .formats = ODD_BOTH,
     .map = "base 7efd0000; 0 1000 R; 1000 1000 WC; 2000 1000 ER; 3000 1000 WC",
     .output = POINTER_RIGHT},
    {.name = "stripped-with-relocs",
     .shows = "relocs-10",
     .build = stripped_with_relocs,
     .formats = ODD_BOTH,
     .map = LAYOUT_WITH_RELOC,
     .output = POINTER_RIGHT},
    {.name = "noncanonical-stripped",
     .shows = "relocs-11",
     .build = noncanonical_stripped,
     .formats = ODD_64,
     .map = LAYOUT_WITH_RELOC,
     .output = POINTER_RIGHT},
    {.name = "stripped-no-relocs",
     .shows = "",
     .build = stripped_without_relocs,
     .formats = ODD_BOTH,
     .refused = {"reloc.stripped", "reloc.stripped", "reloc.stripped"},
     .alone = true},
    {.name = "dynamic-but-stripped",
     .shows = "relocs-12",
     .build = dynamic_but_stripped,
     .formats = ODD_BOTH,
     .map = "base 400000; 0 1000 R; 1000 1000 WC; 2000 1000 ER; 3000 1000 WC; 4000 1000 R",
     .output = POINTER_RIGHT},

    {.name = "garbage-unused",
     .shows = "relocs-13",
     .build = garbage_directory,
     .formats = ODD_BOTH,
     .output = POINTER_RIGHT},
    {.name = "garbage-beyond-file",
     .shows = "relocs-13",
     .build = directory_beyond_file,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "exe.reloc_directory"},
     .alone = true,
     .output = POINTER_RIGHT},
    {.name = "zero-fill",
     .shows = "relocs-17",
     .build = directory_in_zero_fill,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "exe.reloc_directory"},
     .output = POINTER_RIGHT},
    {.name = "empty-blocks",
     .shows = "",
     .build = empty_blocks,
     .formats = ODD_BOTH,
     .output = POINTER_RIGHT},
    {.name = "block-of-size-0",
     .shows = "",
     .build = block_of_size_zero,
     .formats = ODD_BOTH,
     .refused = {"reloc.blocks", "reloc.blocks", "reloc.blocks"},
     .alone = true},
    {.name = "block-of-odd-size",
     .shows = "",
     .build = block_of_odd_size,
     .formats = ODD_BOTH,
     .refused = {"reloc.blocks", "reloc.blocks", "reloc.blocks"},
     .alone = true},
    {.name = "block-too-large",
     .shows = "",
     .build = block_too_large,
     .formats = ODD_BOTH,
     .refused = {"reloc.blocks", "reloc.blocks", "reloc.blocks"},
     .alone = true},
    {.name = "highadj-cut-off",
     .shows = "",
     .build = highadj_without_parameter,
     .formats = ODD_BOTH,
     .refused = {"reloc.blocks", "reloc.blocks", "reloc.blocks"},
     .alone = true},

    {.name = "fixup-outside",
     .shows = "",
     .build = fixup_outside,
     .formats = ODD_BOTH,
     .refused = {"reloc.inside", "reloc.inside", "reloc.inside"},
     .alone = true},
    {.name = "fixup-across-the-end",
     .shows = "",
     .build = fixup_across_the_end,
     .formats = ODD_BOTH,
     .refused = {"reloc.inside", "reloc.inside", "reloc.inside"},
     .alone = true},
    {.name = "fixup-of-signature",
     .shows = "",
     .build = fixup_of_signature,
     .formats = ODD_BOTH,
     .refused = {NULL, "reloc.headers", "reloc.headers"},
     .alone = true,
     .why_not = "only XP takes it, and what its loader does without NT headers is not known"},
    {.name = "fixup-of-mz",
     .shows = "",
     .build = fixup_of_mz,
     .formats = ODD_BOTH,
     .refused = {NULL, "reloc.headers", "reloc.headers"},
     .alone = true,
     .why_not = "only XP takes it, and what its loader does without MZ is not known"},
    {.name = "fixup-of-lfanew",
     .shows = "",
     .build = fixup_of_lfanew,
     .formats = ODD_BOTH,
     .refused = {NULL, "reloc.headers", "reloc.headers"},
     .alone = true,
     .why_not = "only XP takes it, and it designates no headers"},

    {.name = "common-types",
     .shows = "relocs-15",
     .build = common_types,
     .formats = ODD_BOTH,
     .output = "1: 2\n2: 0\n3: 20000\n4: 2\n10: 20000"},
    {.name = "self-modifying",
     .shows = "relocs-14",
     .build = self_modifying_kernel,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "reloc.types"},
     .output = SELF_MODIFYING},
    {.name = "self-modifying-base-zero",
     .shows = "relocs-16",
     .build = self_modifying_zero,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "reloc.types"},
     .output = SELF_MODIFYING},
    {.name = "type-5",
     .shows = "relocs-15",
     .build = type_5,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "reloc.types"},
     .alone = true,
     .output = POINTER_RIGHT},
    {.name = "type-6",
     .shows = "relocs-15",
     .build = type_6,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "reloc.types"},
     .alone = true,
     .output = POINTER_RIGHT},
    {.name = "type-7",
     .shows = "relocs-15",
     .build = type_7,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "reloc.types"},
     .alone = true,
     .output = POINTER_RIGHT},
    {.name = "type-8",
     .shows = "",
     .build = type_8,
     .formats = ODD_BOTH,
     .refused = {"reloc.types", "reloc.types", "reloc.types"},
     .alone = true},
    {.name = "type-9",
     .shows = "relocs-15",
     .build = type_9,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "reloc.types"},
     .alone = true,
     .output = POINTER_RIGHT},
    {.name = "type-11",
     .shows = "",
     .build = type_11,
     .formats = ODD_BOTH,
     .refused = {"reloc.types", "reloc.types", "reloc.types"},
     .alone = true},
    {.name = "type-15",
     .shows = "",
     .build = type_15,
     .formats = ODD_BOTH,
     .refused = {"reloc.types", "reloc.types", "reloc.types"},
     .alone = true},
    {.name = "type-4-signed",
     .shows = "relocs-18",
     .build = type_4,
     .formats = ODD_BOTH,
     .output = "0: 2\n7fff: 2\n8000: 2\nffff: 2",
     .run_on = PE_WINDOWS_XP | PE_WINDOWS_7},
    {.name = "type-4-unsigned",
     .shows = "relocs-18",
     .build = type_4,
     .formats = ODD_BOTH,
     .output = "0: 2\n7fff: 2\n8000: 3\nffff: 3",
     .run_on = PE_WINDOWS_10},
    {.name = "type-9-xp",
     .shows = "relocs-19",
     .build = type_9_short,
     .formats = ODD_BOTH,
     .refused = {NULL, NULL, "reloc.types"},
     .output = "template\nsecond\nthird\nfourth",
     .run_on = PE_WINDOWS_XP},
    {.name = "type-9-7",
     .shows = "relocs-19",
     .build = type_9_long,
     .formats = ODD_32,
     .refused = {NULL, NULL, "reloc.types"},
     .output = "template\nsecond\nthird\nfourth",
     .run_on = PE_WINDOWS_7},
    {.name = "type-9-7-wide",
     .shows = "relocs-19",
     .build = type_9_short,
     .formats = ODD_64,
     .refused = {NULL, NULL, "reloc.types"},
     .output = "template\nsecond\nthird\nfourth",
     .run_on = PE_WINDOWS_7},
    {.name = "detect-xp",
     .shows = "relocs-20",
     .build = detects,
     .formats = ODD_BOTH,
     .output = "type 9, short\nnot type 9, long\nnot type 10",
     .run_on = PE_WINDOWS_XP},
    {.name = "detect-7",
     .shows = "relocs-20",
     .build = detects,
     .formats = ODD_32,
     .output = "not type 9, short\ntype 9, long\nnot type 10",
     .run_on = PE_WINDOWS_7},
    {.name = "detect-7-wide",
     .shows = "relocs-20",
     .build = detects,
     .formats = ODD_64,
     .output = "type 9, short\nnot type 9, long\nnot type 10",
     .run_on = PE_WINDOWS_7},
    {.name = "detect-10",
     .shows = "relocs-20",
     .build = detects,
     .formats = ODD_BOTH,
     .output = "not type 9, short\nnot type 9, long\ntype 10",
     .run_on = PE_WINDOWS_10},

    {.name = "flat-relocated",
     .shows = "relocs-05",
     .build = flat_pointer,
     .formats = ODD_BOTH,
     .map = "base 10000; 0 3000 EWC",
     .output = "relocated",
     .run_on = PE_WINDOWS_XP | PE_WINDOWS_7},
    {.name = "flat-unrelocated",
     .shows = "",
     .build = flat_pointer,
     .formats = ODD_BOTH,
     .map = "base 10000; 0 3000 EWC",
     .output = "not relocated",
     .run_on = PE_WINDOWS_10},
    {.name = "flat-image-base",
     .shows = "relocs-05 relocs-06",
     .build = flat_base,
     .formats = ODD_BOTH,
     .output = "ImageBase is relocated",
     .run_on = PE_WINDOWS_XP | PE_WINDOWS_7},
    {.name = "flat-second-header",
     .shows = "relocs-07",
     .build = flat_second_header,
     .formats = ODD_BOTH,
     .output = "imports of the second header",
     .run_on = PE_WINDOWS_7},
    {.name = "flat-second-header-xp",
     .shows = "relocs-08",
     .build = flat_second_header,
     .formats = ODD_BOTH,
     .error = "absent.dll",
     .run_on = PE_WINDOWS_XP},
    {.name = "flat-first-header",
     .shows = "relocs-08",
     .build = flat_first_header,
     .formats = ODD_BOTH,
     .output = "imports of the first header",
     .run_on = PE_WINDOWS_XP},
    {.name = "flat-first-header-7",
     .shows = "relocs-07",
     .build = flat_first_header,
     .formats = ODD_BOTH,
     .error = "absent.dll",
     .run_on = PE_WINDOWS_7},
    {0},
};
