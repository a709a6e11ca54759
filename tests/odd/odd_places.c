/*
 * Odd images: where NT headers, section table and data directories lie (behaviours, Headers).
 */
#include <stdlib.h>
#include <string.h>

#include "tests/odd/odd_piece.h"

const char odd_area[] = "places";

static const bool wide = sizeof(void *) == 8;

enum {
    DATA_END = 0x800,    /* of a program that says something: headers, .idata, .text */
    SIZE_OF_HEADERS = 60 /* in the optional header */
};

static void say(struct odd *odd, const char *text)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, text);
    odd_exit(odd, 0);
    odd_finish(odd);
}

static void set_size_of_headers(struct odd *odd, uint32_t size)
{
    pebuild_put32(odd->bytes, odd_optional(odd) + SIZE_OF_HEADERS, size);
}

/* From the PE signature to the end of the optional header. */
static uint32_t nt_size(void)
{
    return wide ? 24 + 240 : 24 + 224;
}

/* ---- behind the data --------------------------------------------------------------------------
 */

static void headers_after_data(struct odd *odd)
{
    say(odd, "headers behind the data");
    odd_move_headers(odd, DATA_END);
    odd_resize(odd, 0xc00);
    set_size_of_headers(odd, 0xa00);
}

static void table_beyond_headers(struct odd *odd)
{
    say(odd, "a table beyond the headers");
    odd_move_headers(odd, DATA_END);
    odd_resize(odd, 0xc00);
    set_size_of_headers(odd, DATA_END + nt_size());
}

static void table_after_data(struct odd *odd)
{
    say(odd, "a table behind the data");
    odd_move_table(odd, DATA_END);
    odd_resize(odd, 0xa00);
    set_size_of_headers(odd, 0x900);
}

static void table_from_file(struct odd *odd)
{
    say(odd, "a table that is not mapped");
    odd_move_table(odd, DATA_END);
    odd_resize(odd, 0xa00);
}

static void headers_end_file(struct odd *odd)
{
    say(odd, "headers to the last byte");
    odd_move_headers(odd, DATA_END);
    set_size_of_headers(odd, (uint32_t)odd->size - 0x14);
}

static void table_ends_file(struct odd *odd)
{
    say(odd, "a table to the last byte");
    odd_move_table(odd, 0x1800);
}

static void headers_end_in_table(struct odd *odd)
{
    say(odd, "headers that end in the table");
    set_size_of_headers(odd, (uint32_t)odd_section_header(odd, 1) - 8);
}

/* More than 16 MB into the file; what is in front of them is mapped as header. */
static void headers_far(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.e_lfanew = 0x1000010;
    odd->b->h.size_of_headers = 0x1000400;
    say(odd, "sixteen megabytes into the file");
    memcpy(odd->bytes + 0xfffffc, "far", 3);
    odd_resize(odd, 0x1001000); /* no NT headers in a last, partial page */
}

/* ---- one thing over another -------------------------------------------------------------------
 */

/*
 * The section table lies over the data directories from the first one on: the section's name is the
 * export directory, its VirtualSize and VirtualAddress are address and size of the import
 * directory, its raw data's those of the resources.
 */
static void table_in_directories(struct odd *odd)
{
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.number_of_rva_and_sizes = 2;
    odd_piece(odd, 0x1000);
    odd_print(odd, "a section of directories");
    odd_exit(odd, 0);
    odd_piece_section(odd, PEBUILD_TEXT | IMAGE_SCN_MEM_WRITE);
    /* The imports are to begin at an RVA that does for a size, too. */
    odd->b->sections[0].virtual_size = 0x1000;
    odd_finish(odd);
    odd_move_table(odd, (uint32_t)odd_directory(odd, IMAGE_DIRECTORY_ENTRY_EXPORT));
    memset(odd->bytes + odd_section_header(odd, 0), 0, 8);
}

/*
 * The data directories begin at file offset 0x1000, where PE section 1 is mapped: those in the file
 * are none, and the section begins with the ones that count. The table behind them in the file is
 * covered as well.
 */
static void overlaid(struct odd *odd, const char *text)
{
    uint32_t size;
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.e_lfanew = 0x1000 - 24 - (wide ? 112 : 96);
    odd->b->h.size_of_headers = 0x1200; /* raw data begins there; changed below */
    odd_piece(odd, 0x1080);
    odd_print(odd, text);
    odd_exit(odd, 0);
    uint8_t *piece = odd_piece_take(odd, &size), section[0x400] = {0};
    pebuild_put32(section, IMAGE_DIRECTORY_ENTRY_IMPORT * 8, 0x1080);
    pebuild_put32(section, IMAGE_DIRECTORY_ENTRY_IMPORT * 8 + 4, 60);
    memcpy(section + 0x80, piece, size);
    free(piece);
    pebuild_section(odd->b, ".over", PEBUILD_TEXT | IMAGE_SCN_MEM_WRITE, section, sizeof(section),
                    0);
    odd->b->sections[0].virtual_address = 0x1000;
    odd->b->h.size_of_image = 0x2000;
    odd->b->h.address_of_entry_point = 0x1080 + ODD_PIECE_CODE;
    odd_finish(odd);
    set_size_of_headers(odd, 0x1000);
    pebuild_put32(odd->bytes, odd_directory(odd, IMAGE_DIRECTORY_ENTRY_IMPORT), 0x1ffc);
    odd_resize(odd, 0x2000); /* no NT headers in a last, partial page */
}

static void directories_overlaid(struct odd *odd)
{
    overlaid(odd, "directories of the first section");
}

static void headers_of_1(struct odd *odd)
{
    overlaid(odd, "headers of one byte");
    set_size_of_headers(odd, 1);
}

/* ---- the table --------------------------------------------------------------------------------
 */

#define USUAL_MAP "0 1000 R; 1000 1000 WC; 2000 1000 ER"

const struct odd_row odd_rows[] = {
    {.name = "headers-after-data",
     .shows = "headers-10",
     .formats = ODD_BOTH,
     .build = headers_after_data,
     .map = USUAL_MAP,
     .bytes = "80 x 200 0; 800 50 45 0 0; a00 x 600 0",
     .output = "headers behind the data"},
    {.name = "table-beyond-headers",
     .shows = "headers-11",
     .formats = ODD_BOTH,
     .build = table_beyond_headers,
     .map = USUAL_MAP,
     .output = "a table beyond the headers"},
    {.name = "table-after-data",
     .shows = "headers-12",
     .formats = ODD_BOTH,
     .build = table_after_data,
     .map = USUAL_MAP,
     .bytes = "800 2e 69 64 61 74 61 0 0; 828 2e 74 65 78 74",
     .output = "a table behind the data"},
    {.name = "table-from-file",
     .shows = "headers-13",
     .formats = ODD_BOTH,
     .build = table_from_file,
     .map = USUAL_MAP,
     .output = "a table that is not mapped"},
    {.name = "headers-end-file",
     .shows = "headers-14",
     .formats = ODD_BOTH,
     .build = headers_end_file,
     .map = USUAL_MAP,
     .output = "headers to the last byte"},
    {.name = "table-ends-file",
     .shows = "headers-15",
     .formats = ODD_BOTH,
     .build = table_ends_file,
     .map = USUAL_MAP,
     .output = "a table to the last byte"},
    {.name = "headers-end-in-table",
     .shows = "headers-16",
     .formats = ODD_BOTH,
     .build = headers_end_in_table,
     .map = USUAL_MAP,
     .output = "headers that end in the table"},
    {.name = "table-in-directories",
     .shows = "headers-17",
     .formats = ODD_BOTH,
     .build = table_in_directories,
     .map = "0 1000 R; 1000 1000 EWC",
     .output = "a section of directories"},
    {.name = "directories-overlaid",
     .shows = "headers-18",
     .formats = ODD_BOTH,
     .build = directories_overlaid,
     .map = "0 1000 R; 1000 1000 EWC",
     .bytes = "1000 x 8 0; 1008 80 10 0 0 3c 0 0 0",
     .output = "directories of the first section"},
    {.name = "headers-of-1",
     .shows = "headers-19",
     .formats = ODD_BOTH,
     .build = headers_of_1,
     .refused = {"headers.probe", NULL, "exe.headers_mapped"},
     .map = "0 1000 R; 1000 1000 EWC",
     .bytes = "0 4d 5a; 1008 80 10 0 0 3c 0 0 0",
     .output = "headers of one byte"},
    {.name = "headers-far",
     .shows = "headers-37",
     .formats = ODD_BOTH,
     .build = headers_far,
     .map = "0 1001000 R; 1001000 1000 WC; 1002000 1000 ER",
     .bytes = "fffffc 66 61 72 0; 1000010 50 45 0 0",
     .output = "sixteen megabytes into the file"},
    {0},
};
