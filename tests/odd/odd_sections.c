/*
 * Odd images: PE sections and what they show of the file (behaviours, Sections). Images of hundreds
 * and thousands of them: odd_crowds.c; flat images: odd_flat.c.
 */
#include <string.h>

#include "tests/odd/odd_piece.h"

const char odd_area[] = "sections";

static const bool wide = sizeof(void *) == 8;

enum { RWX = PEBUILD_TEXT | IMAGE_SCN_MEM_WRITE };

/* .text says `text`; the next PE section follows at 0x3000. */
static uint32_t say(struct odd *odd, const char *text)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, text);
    odd_exit(odd, 0);
    return odd_text(odd);
}

static uint32_t add(struct odd *odd, const char *name, uint32_t characteristics, uint32_t size,
                    uint8_t fill)
{
    uint8_t data[0x1000];
    memset(data, fill, sizeof(data));
    return pebuild_section(odd->b, name, characteristics, data, size, 0);
}

/* A PE section without raw data. */
static uint32_t add_zeroes(struct odd *odd, const char *name, uint32_t characteristics,
                           uint32_t size)
{
    return pebuild_section(odd->b, name, characteristics, NULL, 0, size);
}

/* call `rva`, wherever the code is. */
static void call(struct odd *odd, uint32_t rva)
{
    uint8_t bytes[5] = {0xe8};
    pebuild_put32(bytes, 1, rva - (odd_here(odd) + 5));
    odd_emit(odd, bytes, sizeof(bytes));
}

/* ---- which bytes of the file ------------------------------------------------------------------
 */

static void raw_rounded_down(struct odd *odd)
{
    uint32_t text = say(odd, "code, a bit lower in the file");
    odd->b->sections[text].pointer_to_raw_data += 0x1ff;
    add(odd, ".end", PEBUILD_RDATA, 0x200, 0x11);
}

static void raw_in_headers(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, 0x3000, 0x00005a4d, "the headers are a section", "no headers");
    odd_exit(odd, 0);
    odd_text(odd);
    uint32_t i = add_zeroes(odd, ".head", PEBUILD_RDATA, 0x1000);
    odd->b->sections[i].pointer_to_raw_data = 0x1ff;
    odd->b->sections[i].size_of_raw_data = 0x200;
}

/* Two sections and the header show the same bytes; what is written to one is in no other, and one
 * can run: it jumps from its third byte to .text. */
static void raw_shared(struct odd *odd)
{
    static const char *const names[] = {".one", ".two"};
    odd_program(odd, PEBUILD_EXE);
    odd_store32(odd, 0x3000, 0x11111111);
    odd_print_if32(odd, 0x3000, 0x11111111, "one changed", "one did not change");
    odd_print_if32(odd, 0x4000, 0xe9005a4d, "two did not", "two changed");
    odd_print_if32(odd, 0x0000, 0xe9005a4d, "nor did the headers", "the headers changed");
    odd_exit(odd, 0);
    odd_text(odd);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t index = add_zeroes(odd, names[i], RWX, 0x1000);
        odd->b->sections[index].pointer_to_raw_data = 1; /* 0 would be none */
        odd->b->sections[index].size_of_raw_data = 0x400;
    }
    odd->b->h.address_of_entry_point = 0x3003;
    odd_finish(odd);
    odd->bytes[3] = 0xe9; /* jmp */
    pebuild_put32(odd->bytes, 4, 0x2000 - 0x3008);
}

/* Raw data at 0 is none, whatever its size. */
static void raw_at_0(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, 0x3000, 0, "nothing of the file", "something of the file");
    odd_exit(odd, 0);
    odd_text(odd);
    uint32_t i = add_zeroes(odd, ".none", PEBUILD_RDATA, 0x1000);
    odd->b->sections[i].size_of_raw_data = 0x200;
}

/* .inner is the second half of .outer. */
static void raw_inside(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, 0x3200, 0x22222222, "the outer one", "not the outer one");
    odd_print_if32(odd, 0x4000, 0x22222222, "holds the inner one", "does not hold the inner one");
    odd_exit(odd, 0);
    odd_text(odd);
    uint32_t outer = add(odd, ".outer", PEBUILD_RDATA, 0x400, 0x22);
    uint32_t inner = add_zeroes(odd, ".inner", PEBUILD_RDATA, 0x200);
    odd->b->sections[inner].pointer_to_raw_data =
        odd->b->sections[outer].pointer_to_raw_data + 0x200;
    odd->b->sections[inner].size_of_raw_data = 0x200;
}

static void place_raw(struct pebuild_section *s, uint32_t offset)
{
    s->data_offset = s->pointer_to_raw_data = offset;
}

static void raw_shuffled(struct odd *odd)
{
    say(odd, "in another order");
    add(odd, ".last", PEBUILD_RDATA, 0x200, 0x33);
    place_raw(&odd->b->sections[0], 0x800);
    place_raw(&odd->b->sections[1], 0x400);
    place_raw(&odd->b->sections[2], 0x600);
}

static void raw_gaps(struct odd *odd)
{
    uint32_t text = say(odd, "something in between");
    place_raw(&odd->b->sections[text], 0x1400);
    odd_finish(odd);
    memset(odd->bytes + 0x800, 0xee, 0xc00);
}

static void appended(struct odd *odd)
{
    say(odd, "something behind");
    odd_finish(odd);
    odd_resize(odd, 0x4321);
    memset(odd->bytes + 0x800, 0xee, 0x4321 - 0x800);
}

/* ---- where raw data ends ----------------------------------------------------------------------
 */

/* One byte, the last of the file, and it is a function: ret. */
static void raw_of_1(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    call(odd, 0x3000);
    odd_print(odd, "one byte of code");
    odd_exit(odd, 0);
    odd_text(odd);
    uint32_t i = add(odd, ".byte", PEBUILD_TEXT, 1, 0xc3);
    odd->b->sections[i].size_of_raw_data = odd->b->sections[i].data_size = 1;
}

/* The code ends with the file and not with a sector. */
static void raw_unaligned(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "the end of the file");
    odd_exit(odd, 0);
    uint32_t size = odd->code.size, text = odd_text(odd);
    struct pebuild_section *s = &odd->b->sections[text];
    s->size_of_raw_data = s->data_size = size;
}

/* The rest of the page is zero, and the section has another page. */
static void raw_short(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, 0x312c, 0x44444444, "data", "no data");
    odd_print_if32(odd, 0x3130, 0, "and zeroes behind it", "and something behind it");
    odd_exit(odd, 0);
    odd_text(odd);
    uint32_t i = add(odd, ".short", PEBUILD_DATA, 0x130, 0x44);
    struct pebuild_section *s = &odd->b->sections[i];
    s->size_of_raw_data = s->data_size = 0x130;
    s->virtual_size = 0x2000;
    odd->b->h.size_of_image += 0x1000;
}

/* FileAlignment is four pages, and all four are full: one page of them is brought in. */
static void raw_by_pages(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = odd->b->h.file_alignment = 0x4000;
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, 0xcffc, 0x55555555, "to the end of the page", "not to the end of the page");
    odd_print_if32(odd, 0xd000, 0, "and no further", "further");
    odd_exit(odd, 0);
    odd_text(odd);
    uint32_t i = add(odd, ".data", PEBUILD_DATA, 0x1000, 0x55);
    struct pebuild_section *s = &odd->b->sections[i];
    s->virtual_size = 0x4000;
    s->size_of_raw_data = 0x10e;
    s->pointer_to_raw_data += 0x10;
    memset(s->data, 0x55, s->data_size);
}

/* Its VirtualSize is one page. */
static void huge_raw(struct odd *odd, uint32_t index, const char *text)
{
    say(odd, text);
    add(odd, ".last", PEBUILD_RDATA, 0x200, 0x66);
    odd->b->sections[index].virtual_size = 0x1000;
    odd->b->sections[index].size_of_raw_data = 0x7fff0000;
}

static void raw_huge_inside(struct odd *odd)
{
    huge_raw(odd, 1, "two gigabytes of code");
}

static void raw_huge_last(struct odd *odd)
{
    huge_raw(odd, 2, "two gigabytes of data");
}

/* ---- virtual sizes ----------------------------------------------------------------------------
 */

/* 256 MB; a function is written to its middle and called. */
static void virtual_256_mb(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, 0x10003ffc, 0, "zero at the end", "not zero at the end");
    odd_store32(odd, 0x8000000, 0xc3);
    call(odd, 0x8000000);
    odd_print(odd, "and code in the middle");
    odd_exit(odd, 0);
    odd_text(odd);
    uint32_t i = add(odd, ".large", RWX, 0x200, 0x77);
    odd->b->sections[i].virtual_size = 0x10000000 + 0x1000;
    odd->b->h.size_of_image = 0x3000 + 0x10001000;
}

static void virtual_between(struct odd *odd)
{
    static const uint8_t ret[] = {0xc3};
    odd_program(odd, PEBUILD_EXE);
    call(odd, 0x8003000);
    odd_print(odd, "across 128 MB");
    odd_exit(odd, 0);
    odd_text(odd);
    add_zeroes(odd, ".wide", PEBUILD_BSS, 0x8000000);
    pebuild_section(odd->b, ".far", PEBUILD_TEXT, ret, sizeof(ret), 0);
}

static void virtual_0(struct odd *odd)
{
    uint32_t text = say(odd, "as large as its raw data");
    odd->b->sections[text].virtual_size = 0;
    odd->b->sections[0].virtual_size = 0;
}

static void virtual_smaller(struct odd *odd)
{
    say(odd, "only what VirtualSize takes");
    uint32_t i = add(odd, ".data", PEBUILD_RDATA, 0x1000, 0x88);
    uint8_t more[0x800];
    memset(more, 0x99, sizeof(more));
    uint32_t next = pebuild_section(odd->b, ".more", PEBUILD_RDATA, more, sizeof(more), 0);
    odd->b->sections[i].virtual_size = 0x10;
    odd->b->sections[i].size_of_raw_data = 0x1800; /* those of .more as well */
    odd->b->sections[next].virtual_size = 0x10;
}

/* ---- protections ------------------------------------------------------------------------------
 */

static void protections(struct odd *odd)
{
    static const uint32_t flags[] = {0,
                                     IMAGE_SCN_MEM_READ,
                                     IMAGE_SCN_MEM_WRITE,
                                     IMAGE_SCN_MEM_EXECUTE,
                                     IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_WRITE,
                                     IMAGE_SCN_CNT_CODE,
                                     IMAGE_SCN_MEM_READ | IMAGE_SCN_CNT_CODE};
    say(odd, "each protection");
    for (uint32_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        add_zeroes(odd, ".any", flags[i], 0x1000);
}

/* 2 MB from PE section to PE section: what is between is reserved. */
static void alignment_2_mb(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = 0x200000;
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "far from one another");
    odd_exit(odd, 0);
}

static void architecture(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_store32(odd, 0x3000, 0x12345678);
    odd_print_if32(odd, 0x3000, 0x12345678, "data like any other", "not kept");
    odd_exit(odd, 0);
    odd_text(odd);
    add(odd, ".arch", PEBUILD_DATA, 0x10, 0xaa);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_ARCHITECTURE, 0x3000, 0x10);
}

/* ---- code on the stack ------------------------------------------------------------------------
 */

/*
 * What a structured handler does with any exception: it prints the one it is for, and ends the
 * process. Its first argument is the record: on the stack, in 64 bits in rcx.
 */
static uint32_t emit_handler(struct odd *odd)
{
    static const uint8_t check32[] = {0x8b, 0x44, 0x24, 0x04,             /* mov eax, [esp+4] */
                                      0x81, 0x38, 0x05, 0x00, 0x00, 0xc0, /* cmp [eax], c0000005 */
                                      0x74, 0x01, 0xf4};                  /* je +1; hlt */
    static const uint8_t check64[] = {0x81, 0x39, 0x05, 0x00, 0x00, 0xc0, /* cmp [rcx], c0000005 */
                                      0x74, 0x01, 0xf4};                  /* je +1; hlt */
    uint32_t rva = odd_here(odd);
    if (wide)
        odd_emit(odd, check64, sizeof(check64));
    else
        odd_emit(odd, check32, sizeof(check32));
    odd_print(odd, "access violation");
    odd_exit(odd, 0);
    return rva;
}

/* In 32 bits the code sets the handler, in 64 bits the exception directory names it for the code
 * from `begin` on: RUNTIME_FUNCTION and UNWIND_INFO (version 1, EHANDLER, no prolog). */
static void set_handler32(struct odd *odd, uint32_t handler)
{
    static const uint8_t link[] = {0x50,                          /* push eax */
                                   0x64, 0xff, 0x35, 0, 0, 0, 0,  /* push fs:[0] */
                                   0x64, 0x89, 0x25, 0, 0, 0, 0}; /* mov fs:[0], esp */
    odd_address(odd, handler);
    odd_emit(odd, link, sizeof(link));
}

static void add_handler64(struct odd *odd, uint32_t begin, uint32_t end, uint32_t handler)
{
    uint8_t data[24] = {0};
    uint32_t rva = pebuild_next_rva(odd->b);
    pebuild_put32(data, 0, begin);
    pebuild_put32(data, 4, end);
    pebuild_put32(data, 8, rva + 12);
    data[12] = 1 | 1 << 3;
    pebuild_put32(data, 16, handler);
    pebuild_section(odd->b, ".pdata", PEBUILD_RDATA, data, sizeof(data), 0);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_EXCEPTION, rva, 12);
}

/* Four times "ret", pushed and called. */
static void run_stack(struct odd *odd, uint16_t dll_characteristics)
{
    static const uint8_t run[] = {0x68, 0xc3, 0xc3, 0xc3, 0xc3, /* push c3c3c3c3 */
                                  0xff, 0xd4};                  /* call esp */
    odd_program(odd, PEBUILD_EXE);
    uint32_t handler = emit_handler(odd), begin = odd_here(odd);
    odd->b->h.address_of_entry_point = begin;
    odd->b->h.dll_characteristics = dll_characteristics;
    if (!wide)
        set_handler32(odd, handler);
    odd_emit(odd, run, sizeof(run));
    odd_print(odd, "the stack runs");
    odd_exit(odd, 0);
    uint32_t end = odd_here(odd);
    odd_text(odd);
    if (wide)
        add_handler64(odd, begin, end, handler);
}

static void stack_nx(struct odd *odd)
{
    run_stack(odd, IMAGE_DLLCHARACTERISTICS_NX_COMPAT);
}

static void stack_runs(struct odd *odd)
{
    run_stack(odd, 0);
}

/* ---- the table --------------------------------------------------------------------------------
 */

#define USUAL_MAP "0 1000 R; 1000 1000 WC; 2000 1000 ER"

const struct odd_row odd_rows[] = {
    {.name = "raw-rounded-down",
     .shows = "sections-01",
     .formats = ODD_BOTH,
     .build = raw_rounded_down,
     .map = USUAL_MAP "; 3000 1000 R",
     .bytes = "2200 x e00 0",
     .output = "code, a bit lower in the file"},
    {.name = "raw-in-headers",
     .shows = "sections-01",
     .formats = ODD_BOTH,
     .build = raw_in_headers,
     .map = USUAL_MAP "; 3000 1000 R",
     .bytes = "3000 4d 5a 0 0; 3080 50 45; 3200 x e00 0",
     .output = "the headers are a section"},
    {.name = "raw-shared",
     .shows = "sections-02",
     .formats = ODD_BOTH,
     .build = raw_shared,
     .map = USUAL_MAP "; 3000 2000 EWC",
     .bytes = "3000 4d 5a 0 e9; 4000 4d 5a 0 e9; 0 4d 5a 0 e9",
     .output = "one changed\ntwo did not\nnor did the headers"},
    {.name = "raw-at-0",
     .shows = "",
     .formats = ODD_BOTH,
     .build = raw_at_0,
     .map = USUAL_MAP "; 3000 1000 R",
     .bytes = "3000 x 1000 0",
     .output = "nothing of the file"},
    {.name = "raw-inside",
     .shows = "sections-03",
     .formats = ODD_BOTH,
     .build = raw_inside,
     .map = USUAL_MAP "; 3000 2000 R",
     .bytes = "3000 x 400 22; 3400 x c00 0; 4000 x 200 22; 4200 x e00 0",
     .output = "the outer one\nholds the inner one"},
    {.name = "raw-shuffled",
     .shows = "sections-04",
     .formats = ODD_BOTH,
     .build = raw_shuffled,
     .map = USUAL_MAP "; 3000 1000 R",
     .bytes = "3000 x 200 33",
     .output = "in another order"},
    {.name = "raw-gaps",
     .shows = "sections-05",
     .formats = ODD_BOTH,
     .build = raw_gaps,
     .map = USUAL_MAP,
     .bytes = "1200 x e00 0",
     .output = "something in between"},
    {.name = "appended",
     .shows = "sections-06",
     .formats = ODD_BOTH,
     .build = appended,
     .map = USUAL_MAP,
     .bytes = "2200 x e00 0",
     .output = "something behind"},
    {.name = "raw-of-1",
     .shows = "sections-07",
     .formats = ODD_BOTH,
     .build = raw_of_1,
     .map = "0 1000 R; 1000 1000 WC; 2000 2000 ER",
     .bytes = "3000 c3; 3001 x fff 0",
     .output = "one byte of code"},
    {.name = "raw-unaligned",
     .shows = "sections-08",
     .formats = ODD_BOTH,
     .build = raw_unaligned,
     .map = USUAL_MAP,
     .output = "the end of the file"},
    {.name = "raw-short",
     .shows = "sections-09",
     .formats = ODD_BOTH,
     .build = raw_short,
     .map = USUAL_MAP "; 3000 2000 WC",
     .bytes = "3000 x 130 44; 3130 x 1ed0 0",
     .output = "data\nand zeroes behind it"},
    {.name = "raw-by-pages",
     .shows = "sections-10",
     .formats = ODD_BOTH,
     .build = raw_by_pages,
     .map = "0 1000 R; 4000 1000 WC; 8000 1000 ER; c000 4000 WC",
     .bytes = "c000 x 1000 55; d000 x 3000 0",
     .output = "to the end of the page\nand no further"},
    {.name = "raw-huge-inside",
     .shows = "sections-11",
     .formats = ODD_BOTH,
     .build = raw_huge_inside,
     .map = USUAL_MAP "; 3000 1000 R",
     .bytes = "2200 x 200 66; 2400 x c00 0; 3000 x 200 66; 3200 x e00 0",
     .output = "two gigabytes of code"},
    {.name = "raw-huge-last",
     .shows = "sections-11",
     .formats = ODD_BOTH,
     .build = raw_huge_last,
     .refused = {NULL, NULL, "sections.last_raw"},
     .alone = true,
     .map = USUAL_MAP "; 3000 1000 R",
     .bytes = "3000 x 200 66; 3200 x e00 0",
     .output = "two gigabytes of data"},
    {.name = "virtual-256-mb",
     .shows = "sections-12",
     .formats = ODD_BOTH,
     .build = virtual_256_mb,
     .map = USUAL_MAP "; 3000 10001000 EWC",
     .bytes = "3000 x 200 77; 3200 x e00 0; 8000000 x 1000 0; 10003ff0 x 10 0",
     .output = "zero at the end\nand code in the middle"},
    {.name = "virtual-between",
     .shows = "sections-13",
     .formats = ODD_BOTH,
     .build = virtual_between,
     .map = USUAL_MAP "; 3000 8000000 WC; 8003000 1000 ER",
     .bytes = "3000 x 1000 0; 8002000 x 1000 0; 8003000 c3 0",
     .output = "across 128 MB"},
    {.name = "virtual-0",
     .shows = "sections-14",
     .formats = ODD_BOTH,
     .build = virtual_0,
     .map = USUAL_MAP,
     .output = "as large as its raw data"},
    {.name = "virtual-smaller",
     .shows = "",
     .formats = ODD_BOTH,
     .build = virtual_smaller,
     .map = USUAL_MAP "; 3000 2000 R",
     .bytes = "3000 x 1000 88; 4000 x 800 99; 4800 x 800 0",
     .output = "only what VirtualSize takes"},
    {.name = "protections",
     .shows = "",
     .formats = ODD_BOTH,
     .build = protections,
     .map = USUAL_MAP "; 3000 1000 NA; 4000 1000 R; 5000 1000 WC; 6000 1000 E; 7000 1000 EWC; "
                      "8000 1000 NA; 9000 1000 R",
     .output = "each protection"},
    {.name = "alignment-2-mb",
     .shows = "",
     .formats = ODD_BOTH,
     .build = alignment_2_mb,
     .map = "0 1000 R; 200000 1000 WC; 400000 1000 ER",
     .output = "far from one another"},
    {.name = "architecture",
     .shows = "sections-23",
     .formats = ODD_BOTH,
     .build = architecture,
     .map = USUAL_MAP "; 3000 1000 WC",
     .bytes = "3000 x 10 aa",
     .output = "data like any other"},
    {.name = "stack-nx",
     .shows = "sections-21",
     .formats = ODD_BOTH,
     .build = stack_nx,
     .output = "access violation"},
    {.name = "stack-nx-always", /* PE32+ has no choice */
     .shows = "sections-21",
     .formats = ODD_64,
     .build = stack_runs,
     .output = "access violation"},
    {.name = "stack-runs",
     .shows = "sections-22",
     .formats = ODD_32,
     .build = stack_runs,
     .output = "the stack runs"},
    {0},
};
