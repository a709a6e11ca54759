/*
 * Odd images without pages: SectionAlignment below 0x1000, where the file is the image, and headers
 * of a handful of bytes (behaviours, Headers and Sections).
 */
#include <string.h>

#include "tests/odd/odd_piece.h"

const char odd_area[] = "flat";

static const bool wide = sizeof(void *) == 8;

enum { PIECE = 0x400 };
/* Fields, from the optional header. */
enum {
    AT_SIZE_OF_DATA = 8,
    AT_SIZE_OF_BSS = 12,
    AT_ENTRY = 16,
    AT_BASE_OF_CODE = 20,
    AT_SIZE_OF_IMAGE = 56
};

static void begin(struct odd *odd, uint32_t alignment)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = odd->b->h.file_alignment = alignment;
    odd->b->h.size_of_headers = 0x200;
    odd->b->h.size_of_image = 0x1000;
}

/* No PE section, alignment 1; finished. */
static void say(struct odd *odd, const char *text)
{
    begin(odd, 1);
    odd_piece(odd, PIECE);
    odd_print(odd, text);
    odd_exit(odd, 0);
    odd_piece_flat(odd);
}

static void set_optional(struct odd *odd, uint32_t at, uint32_t value)
{
    pebuild_put32(odd->bytes, odd_optional(odd) + at, value);
}

static void set_optional_size(struct odd *odd, uint16_t size)
{
    pebuild_put16(odd->bytes, odd_nt(odd) + 20, size);
}

static void set_section_count(struct odd *odd, uint16_t count)
{
    pebuild_put16(odd->bytes, odd_nt(odd) + 6, count);
}

/* ---- no PE section ----------------------------------------------------------------------------
 */

/* No import either: what the entry point returns is the exit code. */
static void alignment_1(struct odd *odd)
{
    static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
    begin(odd, 1);
    odd->b->h.address_of_entry_point = PIECE;
    odd_finish(odd);
    odd_resize(odd, PIECE + sizeof(code));
    memcpy(odd->bytes + PIECE, code, sizeof(code));
}

static void optional_size_0(struct odd *odd)
{
    say(odd, "an optional header of no bytes");
    set_optional_size(odd, 0);
}

/* Large enough that PE32 needs the space above 2 GB of a Linux process. */
static void image_of_1904_mb(struct odd *odd)
{
    say(odd, "an image of 1904 MB");
    set_optional(odd, AT_SIZE_OF_IMAGE, 0x77000000);
    set_optional_size(odd, 0xf00);
    pebuild_put16(odd->bytes, odd_nt(odd) + 22,
                  IMAGE_FILE_EXECUTABLE_IMAGE | IMAGE_FILE_LARGE_ADDRESS_AWARE);
}

/* MZ is "dec ebp; pop edx", in 64 bits "pop r10". What follows undoes it and jumps to the code. */
static void entry_zero(struct odd *odd)
{
    static const uint8_t undo[2][2] = {{0x52, 0x45}, {0x41, 0x52}};
    say(odd, "from the first byte of the file");
    set_optional(odd, AT_ENTRY, 0);
    memcpy(odd->bytes + 2, undo[wide], 2);
    odd->bytes[4] = 0xe9; /* jmp */
    pebuild_put32(odd->bytes, 5, PIECE + ODD_PIECE_CODE - 9);
}

/* ---- the section table ------------------------------------------------------------------------
 */

/* The optional header is the section: the sizes of code and data are its extent. */
static void optional_as_section(struct odd *odd)
{
    say(odd, "the optional header is a section");
    set_section_count(odd, 1);
    set_optional_size(odd, 0);
    set_optional(odd, AT_SIZE_OF_DATA, 0x10);
    set_optional(odd, AT_SIZE_OF_BSS, 0x200);
    set_optional(odd, AT_BASE_OF_CODE, 0x200);
}

static void optional_as_bad_section(struct odd *odd)
{
    optional_as_section(odd);
    set_optional(odd, AT_BASE_OF_CODE, 0x400);
}

static const struct pebuild_section good = {.name = ".good",
                                            .virtual_size = 0x10,
                                            .virtual_address = 0x200,
                                            .size_of_raw_data = 0x10,
                                            .pointer_to_raw_data = 0x200};
static const struct pebuild_section bad = {.name = ".bad",
                                           .virtual_size = 0x7000,
                                           .virtual_address = 0x12345,
                                           .size_of_raw_data = 3,
                                           .pointer_to_raw_data = 0x987654};

static void first_section_good(struct odd *odd)
{
    say(odd, "nobody looks at the others");
    set_section_count(odd, 3);
    odd_put_section(odd, 0, &good);
    odd_put_section(odd, 1, &bad);
    odd_put_section(odd, 2, &bad);
}

static void first_section_bad(struct odd *odd)
{
    first_section_good(odd);
    odd_put_section(odd, 0, &bad);
}

static void table_outside(struct odd *odd)
{
    say(odd, "a table outside the file");
    set_section_count(odd, 2);
    set_optional_size(odd, 0xe000);
    set_optional(odd, AT_SIZE_OF_IMAGE, 0x20000);
}

static void thousands(struct odd *odd)
{
    enum { COUNT = 2000, TABLE = 0x800 };
    say(odd, "two thousand of sixteen bytes");
    odd_resize(odd, TABLE);
    odd_move_table(odd, TABLE);
    odd_grow_table(odd, COUNT);
    set_optional(odd, AT_SIZE_OF_IMAGE, 0x20000);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct pebuild_section s = good;
        s.virtual_address = s.pointer_to_raw_data = 0x400 + i * 0x10;
        odd_put_section(odd, i, &s);
    }
}

static void alignment_400(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = 0x400;
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "aligned to 400h and 200h");
    odd_exit(odd, 0);
}

static void alignment_400_moved(struct odd *odd)
{
    alignment_400(odd);
    odd_finish(odd);
    uint64_t header = odd_section_header(odd, 0);
    pebuild_put32(odd->bytes, header + 20, odd_get32(odd, header + 20) - 0x200);
}

/* ---- a few hundred bytes ----------------------------------------------------------------------
 */

/*
 * The NT headers begin at 4, so that e_lfanew is the SectionAlignment as well. Names and the import
 * descriptor are the end of the file: what ends the descriptors is the zero fill behind it. The
 * text lies in time stamp and symbol table pointer, code and IAT where directories are that nobody
 * reads.
 */
enum { NT = 4, TEXT = NT + 8, OPTIONAL = NT + 24, TINY_BASE = 0x400000 };

struct tiny {
    uint32_t size, directories, code, iat;
};

static void tiny_headers(uint8_t *bytes, const struct tiny *tiny)
{
    uint32_t first = wide ? 112 : 96;
    pebuild_put16(bytes, 0, 0x5a4d);
    pebuild_put32(bytes, NT, 0x4550);
    pebuild_put16(bytes, NT + 4, wide ? IMAGE_FILE_MACHINE_AMD64 : IMAGE_FILE_MACHINE_I386);
    pebuild_put16(bytes, NT + 20, (uint16_t)(first + tiny->directories * 8));
    pebuild_put16(bytes, NT + 22, IMAGE_FILE_EXECUTABLE_IMAGE);
    pebuild_put16(bytes, OPTIONAL, wide ? 0x20b : 0x10b);
    pebuild_put32(bytes, OPTIONAL + 16, tiny->code);
    pebuild_put32(bytes, OPTIONAL + (wide ? 24 : 28), TINY_BASE);
    pebuild_put32(bytes, OPTIONAL + 32, NT); /* SectionAlignment, at 0x3c */
    pebuild_put32(bytes, OPTIONAL + 36, NT);
    pebuild_put16(bytes, OPTIONAL + 48, 4);
    pebuild_put32(bytes, OPTIONAL + 56, 0x1000);
    pebuild_put32(bytes, OPTIONAL + 60, 0x30);
    pebuild_put16(bytes, OPTIONAL + 68, IMAGE_SUBSYSTEM_WINDOWS_CUI);
    pebuild_put32(bytes, OPTIONAL + first - 4, tiny->directories);
    pebuild_put32(bytes, OPTIONAL + first + 8, tiny->size - 20);
    pebuild_put32(bytes, OPTIONAL + first + 12, 20);
}

static void tiny_imports(uint8_t *bytes, const struct tiny *tiny)
{
    uint32_t descriptor = tiny->size - 20, module = descriptor - 11, name = module - 9;
    memcpy(bytes + name + 2, "printf", 7);
    memcpy(bytes + module, "msvcrt.dll", 11);
    pebuild_put32(bytes, tiny->iat, name);
    pebuild_put32(bytes, descriptor + 12, module);
    pebuild_put32(bytes, descriptor + 16, tiny->iat);
}

static void tiny_code(uint8_t *bytes, const struct tiny *tiny)
{
    static const uint8_t narrow_code[] = {0x68, 0,    0,    0,   0,    /* push text */
                                          0xff, 0x15, 0,    0,   0, 0, /* call [iat] */
                                          0x59, 0x31, 0xc0, 0xc3}; /* pop ecx; xor eax, eax; ret */
    static const uint8_t wide_code[] = {0x48, 0x83, 0xec, 0x28,    /* sub rsp, 0x28 */
                                        0x48, 0x8d, 0x0d, 0,    0,   0, 0, /* lea rcx, [text] */
                                        0xff, 0x15, 0,    0,    0,   0,    /* call [iat] */
                                        0x31, 0xc0,                        /* xor eax, eax */
                                        0x48, 0x83, 0xc4, 0x28, 0xc3};     /* add rsp, 0x28; ret */
    uint8_t *code = bytes + tiny->code;
    if (wide) {
        memcpy(code, wide_code, sizeof(wide_code));
        pebuild_put32(code, 7, TEXT - (tiny->code + 11));
        pebuild_put32(code, 13, tiny->iat - (tiny->code + 17));
    } else {
        memcpy(code, narrow_code, sizeof(narrow_code));
        pebuild_put32(code, 1, TINY_BASE + TEXT);
        pebuild_put32(code, 7, TINY_BASE + tiny->iat);
    }
}

static void make_tiny(struct odd *odd, const struct tiny *tiny, const char *text)
{
    odd_bytes(odd, tiny->size);
    tiny_headers(odd->bytes, tiny);
    tiny_imports(odd->bytes, tiny);
    tiny_code(odd->bytes, tiny);
    memcpy(odd->bytes + TEXT, text, strlen(text) + 1); /* 12 bytes at most */
}

/* In 32 bits the code lies in the directories of resources and exceptions, the IAT in that of the
 * architecture; in 64 bits both lie behind the headers. */
static void tiny_268(struct odd *odd)
{
    static const struct tiny narrow_268 = {268, 13, 140, 180}, wide_268 = {268, 2, 156, 184};
    make_tiny(odd, wide ? &wide_268 : &narrow_268, "268 bytes\n");
}

static void tiny_252(struct odd *odd)
{
    static const struct tiny tiny = {252, 11, 140, 180};
    make_tiny(odd, &tiny, "252 bytes\n");
}

/* Up to the first byte of Subsystem. There are no directories then; the code lies where the time
 * stamp is and returns. */
static void tiny_97(struct odd *odd)
{
    static const uint8_t code[] = {0x6a, 97, 0x58, 0xc3}; /* push 97; pop eax; ret */
    tiny_268(odd);
    odd_resize(odd, OPTIONAL + 69);
    memcpy(odd->bytes + TEXT, code, sizeof(code));
    pebuild_put32(odd->bytes, OPTIONAL + AT_ENTRY, TEXT);
}

/* ---- the table --------------------------------------------------------------------------------
 */

#define ONE_PAGE "0 1000 EWC"

/* A 32-bit process under AddressSanitizer has no 1904 MB in one piece. */
#if defined(__SANITIZE_ADDRESS__)
#define HUGE_FORMATS ODD_64
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HUGE_FORMATS ODD_64
#endif
#endif
#ifndef HUGE_FORMATS
#define HUGE_FORMATS ODD_BOTH
#endif

const struct odd_row odd_rows[] = {
    {.name = "alignment-1",
     .shows = "headers-04",
     .formats = ODD_BOTH,
     .build = alignment_1,
     .map = ONE_PAGE,
     .bytes = "0 4d 5a; 400 b8 2a 0 0 0 c3; 406 x bfa 0",
     .output = "",
     .exit_code = 42},
    {.name = "optional-size-0",
     .shows = "headers-21",
     .formats = ODD_BOTH,
     .build = optional_size_0,
     .map = ONE_PAGE,
     .output = "an optional header of no bytes"},
    {.name = "image-of-1904-mb",
     .shows = "headers-22",
     .formats = HUGE_FORMATS,
     .build = image_of_1904_mb,
     .refused = {NULL, "sections.table.file", "opt.headers_total"},
     .map = "0 77000000 EWC",
     .bytes = "0 4d 5a; 76fffffc 0 0 0 0",
     .output = "an image of 1904 MB"},
    {.name = "optional-as-section",
     .shows = "headers-23",
     .formats = ODD_BOTH,
     .build = optional_as_section,
     .map = ONE_PAGE,
     .output = "the optional header is a section"},
    {.name = "optional-as-bad-section",
     .shows = "headers-23",
     .formats = ODD_BOTH,
     .build = optional_as_bad_section,
     .refused = {"la.flat", "la.flat", "la.flat"},
     .alone = true},
    {.name = "first-section-good",
     .shows = "headers-24",
     .formats = ODD_BOTH,
     .build = first_section_good,
     .refused = {NULL, "la.flat", "la.flat"},
     .alone = true,
     .map = ONE_PAGE,
     .output = "nobody looks at the others"},
    {.name = "first-section-bad",
     .shows = "headers-24",
     .formats = ODD_BOTH,
     .build = first_section_bad,
     .refused = {"la.flat", "la.flat", "la.flat"},
     .alone = true},
    {.name = "table-outside",
     .shows = "headers-25",
     .formats = ODD_BOTH,
     .build = table_outside,
     .refused = {NULL, "sections.table.file", "opt.headers_total"},
     .map = "0 20000 EWC",
     .output = "a table outside the file"},
    {.name = "tiny-268",
     .shows = "headers-26 headers-28 headers-29 headers-31",
     .formats = ODD_BOTH,
     .build = tiny_268,
     .map = "base 400000; " ONE_PAGE,
     .bytes = "4 50 45; c 32 36 38 20; 10c x ef4 0",
     .output = "268 bytes"},
    {.name = "tiny-252",
     .shows = "headers-27 headers-28 headers-31",
     .formats = ODD_32,
     .build = tiny_252,
     .refused = {NULL, "dos.lfanew.range", NULL},
     .alone = true,
     .map = "base 400000; " ONE_PAGE,
     .output = "252 bytes"},
    {.name = "tiny-97", /* later versions want all of the optional header */
     .shows = "headers-30",
     .formats = ODD_32,
     .build = tiny_97,
     .refused = {NULL, "dos.lfanew.range", "dos.lfanew.range"},
     .map = "base 400000; " ONE_PAGE,
     .bytes = "0 4d 5a; 60 3; 61 x f9f 0",
     .output = "",
     .exit_code = 97},
    {.name = "tiny-97-wide",
     .shows = "",
     .formats = ODD_64,
     .build = tiny_97,
     .refused = {"dos.lfanew.range", "dos.lfanew.range", "dos.lfanew.range"}},
    {.name = "entry-zero",
     .shows = "headers-32 headers-33",
     .formats = ODD_BOTH,
     .build = entry_zero,
     .map = ONE_PAGE,
     .output = "from the first byte of the file"},
    {.name = "thousands",
     .shows = "sections-19",
     .formats = ODD_BOTH,
     .build = thousands,
     .refused = {"sections.count_max", NULL, "sections.table.page"},
     .map = "0 20000 EWC",
     .output = "two thousand of sixteen bytes"},
    {.name = "alignment-400",
     .shows = "sections-20",
     .formats = ODD_BOTH,
     .build = alignment_400,
     .map = ONE_PAGE,
     .output = "aligned to 400h and 200h"},
    {.name = "alignment-400-moved",
     .shows = "sections-20",
     .formats = ODD_BOTH,
     .build = alignment_400_moved,
     .refused = {"la.flat", "la.flat", "la.flat"}},
    {0},
};
