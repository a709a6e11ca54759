/*
 * Odd images: hundreds and thousands of PE sections (behaviours, Sections).
 *
 * Where code runs through zeroes it runs "add [eax], al" every two bytes, so eax (rax) has to point
 * to memory that can be written to.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/odd/odd_piece.h"

const char odd_area[] = "crowds";

static const bool wide = sizeof(void *) == 8;

enum {
    MAX_XP = 96,
    HEADERS = 0x1200, /* hold a table of so many and some more */
    CODE_WRITE = PEBUILD_TEXT | IMAGE_SCN_MEM_WRITE
};

static void begin(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.size_of_headers = HEADERS;
    odd_program(odd, PEBUILD_EXE);
}

/* ---- up to 96 ---------------------------------------------------------------------------------
 */

/* Half of them show what .text has in the file, the others are nothing but a size. */
static void add_data(struct odd *odd, uint32_t count)
{
    begin(odd);
    odd_print(odd, "a section in many places");
    odd_exit(odd, 0);
    uint32_t text = odd_text(odd);
    for (uint32_t i = 2; i < count; i++) {
        uint32_t s = pebuild_section(odd->b, ".same", PEBUILD_RDATA, NULL, 0, 0x1000);
        odd->b->sections[s].pointer_to_raw_data = odd->b->sections[text].pointer_to_raw_data;
        odd->b->sections[s].size_of_raw_data = i % 2 ? 0x200 : 0;
    }
}

static void sections_96(struct odd *odd)
{
    add_data(odd, MAX_XP);
}

static void sections_97(struct odd *odd)
{
    add_data(odd, MAX_XP + 1);
}

/* A page of "inc eax" (in 64 bits "nop") each, and .text is the last one. */
static void code_96(struct odd *odd)
{
    uint8_t page[0x1000];
    memset(page, wide ? 0x90 : 0x40, sizeof(page));
    begin(odd);
    odd->b->h.address_of_entry_point = odd->code.rva;
    for (uint32_t i = 2; i < MAX_XP; i++)
        pebuild_section(odd->b, ".code", PEBUILD_TEXT, page, sizeof(page), 0);
    odd->code.rva = pebuild_next_rva(odd->b);
    odd_print(odd, "through 94 of them");
    odd_exit(odd, 0);
}

/* ---- thousands --------------------------------------------------------------------------------
 */

enum { FIRST = 0x3000, START = 0x800, SCRATCH = 0x1800, TABLE = 0x1800 };

/*
 * The builder makes .idata, two pages that can run and be written to, and .text; then .text is
 * moved behind `count` - 2 others, which begin at FIRST and are filled in by the caller. The entry
 * point lies in .idata: it sets eax and jumps to FIRST.
 */
static void begin_crowd(struct odd *odd, uint16_t count, const char *text)
{
    uint8_t start[16] = {0x48, 0x8d, 0x05}; /* lea rax, [rip + ...] */
    uint32_t size = 7, last = FIRST + (count - 2u) * 0x1000;
    if (!wide) {
        memcpy(start, "\xe8\0\0\0\0\x58\x05", 7); /* call next; next: pop eax; add eax, ... */
        size = 11;
    }
    pebuild_put32(start, size - 4, SCRATCH - START - (wide ? 7 : 5));
    start[size] = 0xe9; /* jmp */
    pebuild_put32(start, size + 1, FIRST - (0x1000 + START + size + 5));
    odd_program(odd, PEBUILD_EXE);
    odd->b->sections[0].virtual_size = 0x2000;
    odd->b->next_rva = FIRST;
    odd->code.rva = last;
    odd_print(odd, text);
    odd_exit(odd, 0);
    uint32_t code_size = odd->code.size;
    uint8_t *code = odd->code.data;
    odd->code.data = NULL;
    odd->code.size = 0;
    struct pebuild_section *idata = &odd->b->sections[0];
    idata->data = realloc(idata->data, 0x1000);
    if (!idata->data)
        abort();
    memset(idata->data + idata->data_size, 0, 0x1000 - idata->data_size);
    memcpy(idata->data + START, start, sizeof(start));
    idata->data_size = idata->size_of_raw_data = 0x1000;
    idata->characteristics = CODE_WRITE;
    odd->b->next_offset = idata->data_offset + 0x1000;
    pebuild_section(odd->b, ".text", PEBUILD_TEXT, code, code_size, 0);
    odd->b->h.address_of_entry_point = 0x1000 + START;
    odd->b->h.size_of_image = last + 0x1000;
    free(code);
}

/* The table goes to TABLE, where the file ended, and gets its entries. */
static void fill_crowd(struct odd *odd, uint16_t count, const struct pebuild_section *one,
                       uint32_t raw_step)
{
    odd_finish(odd);
    struct pebuild_section text = {.name = ".text", .characteristics = PEBUILD_TEXT};
    uint64_t header = odd_section_header(odd, 1);
    text.virtual_size = odd_get32(odd, header + 8);
    text.size_of_raw_data = odd_get32(odd, header + 16);
    text.pointer_to_raw_data = odd_get32(odd, header + 20);
    text.virtual_address = FIRST + (count - 2u) * 0x1000;
    odd_resize(odd, TABLE);
    odd_move_table(odd, TABLE);
    odd_grow_table(odd, count);
    for (uint32_t i = 1; i + 1 < count; i++) {
        struct pebuild_section s = *one;
        s.virtual_address = FIRST + (i - 1) * 0x1000;
        s.pointer_to_raw_data += (i - 1) * raw_step;
        odd_put_section(odd, i, &s);
    }
    odd_put_section(odd, count - 1u, &text);
}

/* Two hundred and fifty-five megabytes of zeroes, page by page, and all of them run. */
static void sections_65535(struct odd *odd)
{
    static const struct pebuild_section zeroes = {
        .name = ".zero", .virtual_size = 0x1000, .characteristics = PEBUILD_TEXT};
    begin_crowd(odd, UINT16_MAX, "through 65533 of them");
    fill_crowd(odd, UINT16_MAX, &zeroes, 0);
}

/* Each has a sector of its own, full of "nop"; the zeroes behind it run as well. */
static void sections_8192(struct odd *odd)
{
    enum { COUNT = 8192, RAW = 0x60000 }; /* behind the table */
    static const struct pebuild_section nops = {.name = ".nop",
                                                .virtual_size = 0x1000,
                                                .size_of_raw_data = 0x200,
                                                .pointer_to_raw_data = RAW,
                                                .characteristics = PEBUILD_TEXT};
    begin_crowd(odd, COUNT, "through 8190 of them");
    fill_crowd(odd, COUNT, &nops, 0x200);
    odd_resize(odd, RAW + (COUNT - 2) * 0x200);
    memset(odd->bytes + RAW, 0x90, (COUNT - 2) * 0x200);
}

/* ---- the table --------------------------------------------------------------------------------
 */

const struct odd_row odd_rows[] = {
    {.name = "sections-96",
     .shows = "sections-15",
     .formats = ODD_BOTH,
     .build = sections_96,
     .map = "0 2000 R; 2000 1000 WC; 3000 1000 ER; 4000 5e000 R",
     .output = "a section in many places"},
    {.name = "sections-97",
     .shows = "",
     .formats = ODD_BOTH,
     .build = sections_97,
     .refused = {"sections.count_max", NULL, NULL},
     .alone = true,
     .map = "0 2000 R; 2000 1000 WC; 3000 1000 ER; 4000 5f000 R",
     .output = "a section in many places"},
    {.name = "code-96",
     .shows = "sections-16",
     .formats = ODD_BOTH,
     .build = code_96,
     .map = "0 2000 R; 2000 1000 WC; 3000 5f000 ER",
     .output = "through 94 of them"},
    {.name = "sections-65535",
     .shows = "sections-17",
     .formats = ODD_BOTH,
     .build = sections_65535,
     .refused = {"sections.count_max", NULL, "sections.table.page"},
     .map = "0 1000 R; 1000 2000 EWC; 3000 fffe000 ER",
     .bytes = "3000 x 1000 0; fffe000 x 1000 0",
     .output = "through 65533 of them"},
    {.name = "sections-8192",
     .shows = "sections-18",
     .formats = ODD_BOTH,
     .build = sections_8192,
     .refused = {"sections.count_max", NULL, "sections.table.page"},
     .map = "0 1000 R; 1000 2000 EWC; 3000 1fff000 ER",
     .bytes = "3000 x 200 90; 3200 x e00 0; 2000000 x 200 90; 2000200 x e00 0",
     .output = "through 8190 of them"},
    {0},
};
