/*
 * Odd images: bound imports, right and wrong, and delay-load data (facts: behaviours, Imports;
 * facts 3.6; PE specification, "Import Directory Table" and "Delay-Load Import Tables").
 *
 * Each program is bound to a DLL that lies beside it and whose code is where this file says. The
 * address table holds the address of code that prints "bound"; resolving the name that the table
 * is for gives code that prints "snapped".
 */
#include <stdlib.h>

#include "tests/odd/idata.h"

const char odd_area[] = "bound";

enum { LOOKUP, IAT, LOOKUP_2, IAT_2 };

enum {
    STAMP = 0x4d5a1234,
    OTHER_STAMP = 0x5e6b2345,
    DLL_BASE = 0x60000000,
    OTHER_BASE = 0x61000000,
    SNAPPED = 0x2040, /* what the DLLs export as "f" */
    BOUND = 0x20c0,   /* ... and something else in them */
    NEW_STYLE = -1,
    NO_FORWARDERS = -1,
};

/* ---- the DLLs ------------------------------------------------------------------------------- */

static void pad_to(struct odd *odd, uint32_t rva)
{
    while (odd_here(odd) < rva)
        odd_emit(odd, (const uint8_t[]){0xcc}, 1);
    if (odd_here(odd) != rva)
        abort();
}

static void print_and_return(struct odd *odd, uint32_t rva, const char *text)
{
    pad_to(odd, rva);
    odd_print(odd, text);
    odd_emit(odd, (const uint8_t[]){0xc3}, 1); /* ret */
}

static void make_dll(struct odd *odd, const char *name, uint32_t base, uint32_t stamp,
                     const char *snapped, const char *bound)
{
    odd_program(odd, PEBUILD_DLL);
    odd_return(odd, 1);
    print_and_return(odd, SNAPPED, snapped);
    print_and_return(odd, BOUND, bound);
    odd_text(odd);
    odd->b->h.image_base = base;
    odd->b->h.time_date_stamp = stamp;
    const struct pebuild_export exports[] = {{"f", 1, SNAPPED, NULL}};
    pebuild_exports(odd->b, name, 1, exports, 1);
    pebuild_fixup(odd->b, SNAPPED & ~0xfffu, 0); /* it may be moved, as padding fixups say */
    pebuild_relocs(odd->b);
}

static void dll(struct odd *odd)
{
    make_dll(odd, "bound.dll", DLL_BASE, STAMP, "snapped", "bound");
}

static void other_dll(struct odd *odd)
{
    make_dll(odd, "bound2.dll", OTHER_BASE, OTHER_STAMP, "snapped in the other",
             "bound in the other");
}

/* Wants to be where the program is. */
static void moving_dll(struct odd *odd)
{
    make_dll(odd, "bound3.dll", 0x400000, STAMP, "snapped", "bound");
}

/* ---- the programs --------------------------------------------------------------------------- */

/* Calls through the table of descriptor 2, which names `dll_name` and holds `bound`. */
static struct idata *call_bound(struct odd *odd, const char *dll_name, const char *function,
                                uint32_t bound)
{
    odd_program(odd, PEBUILD_EXE);
    odd_call_import(odd, idata_table(IAT), 0, NULL);
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_import(i, 2, idata_table(LOOKUP), dll_name, idata_table(IAT), function);
    idata_put32(i, idata_field(2, 1), (uint32_t)NEW_STYLE);
    idata_put32(i, idata_field(2, 2), (uint32_t)NO_FORWARDERS);
    idata_pointer(i, idata_table(IAT), bound);
    return i;
}

/* One module of the directory of bound imports. */
struct entry {
    const char *name;
    uint32_t stamp;
    uint16_t references; /* how many of the next entries are what it forwards to */
};

/* The directory: `entries`, and the system's modules with stamps of another system's, so that they
 * are resolved wherever this directory leads. */
static void bound_directory(struct idata *i, const struct entry *entries, uint32_t count)
{
    static const struct entry system[] = {{"msvcrt.dll", 1, 0}, {"KERNEL32.dll", 1, 0}};
    uint32_t at = IDATA_EXTRA;
    for (uint32_t n = 0; n < count + 2; n++, at += 8) {
        const struct entry *entry = n < count ? &entries[n] : &system[n - count];
        uint32_t name = idata_string(i, entry->name) - IDATA_EXTRA;
        idata_put32(i, at, entry->stamp);
        idata_put32(i, at + 4, name | (uint32_t)entry->references << 16);
    }
    pebuild_directory(i->odd->b, IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, IDATA_EXTRA,
                      at + 8 - IDATA_EXTRA);
}

static void bound_to(struct odd *odd, const char *function, uint32_t bound, uint32_t stamp)
{
    const struct entry entries[] = {{"bound.dll", stamp, 0}};
    odd_dll(odd, "bound.dll", dll);
    struct idata *i = call_bound(odd, "bound.dll", function, bound);
    bound_directory(i, entries, 1);
    idata_finish(i);
}

/* The DLL exports no such name, and nobody asks. */
static void bound(struct odd *odd)
{
    bound_to(odd, "not_exported", DLL_BASE + SNAPPED, STAMP);
}

static void bound_elsewhere(struct odd *odd)
{
    bound_to(odd, "f", DLL_BASE + BOUND, STAMP);
}

static void stamp_differs(struct odd *odd)
{
    bound_to(odd, "f", DLL_BASE + BOUND, STAMP + 1);
}

static void dll_moves(struct odd *odd)
{
    const struct entry entries[] = {{"bound3.dll", STAMP, 0}};
    odd_dll(odd, "bound3.dll", moving_dll);
    struct idata *i = call_bound(odd, "bound3.dll", "f", 0x400000 + BOUND);
    bound_directory(i, entries, 1);
    idata_finish(i);
}

/* The stamp is in the descriptor and there is no directory of bound imports. */
static void old_style_to(struct odd *odd, uint32_t stamp)
{
    odd_dll(odd, "bound.dll", dll);
    struct idata *i = call_bound(odd, "bound.dll", "f", DLL_BASE + BOUND);
    idata_put32(i, idata_field(2, 1), stamp);
    idata_finish(i);
}

static void old_style(struct odd *odd)
{
    old_style_to(odd, STAMP);
}

static void old_style_differs(struct odd *odd)
{
    old_style_to(odd, STAMP - 1);
}

static void no_directory(struct odd *odd)
{
    old_style_to(odd, (uint32_t)NEW_STYLE);
}

static void forwards_to(struct odd *odd, uint32_t stamp)
{
    const struct entry entries[] = {{"bound.dll", STAMP, 1}, {"bound2.dll", stamp, 0}};
    odd_dll(odd, "bound.dll", dll);
    odd_dll(odd, "bound2.dll", other_dll);
    struct idata *i = call_bound(odd, "bound.dll", "f", OTHER_BASE + BOUND);
    bound_directory(i, entries, 2);
    idata_finish(i);
}

static void forwarded(struct odd *odd)
{
    forwards_to(odd, OTHER_STAMP);
}

static void forwarded_differs(struct odd *odd)
{
    forwards_to(odd, OTHER_STAMP + 1);
}

/* What the DLL is said to forward to does not exist. */
static void reference_is_absent(struct odd *odd)
{
    const struct entry entries[] = {{"bound.dll", STAMP, 1}, {"absent.dll", 1, 0}};
    odd_dll(odd, "bound.dll", dll);
    struct idata *i = call_bound(odd, "bound.dll", "f", DLL_BASE + BOUND);
    bound_directory(i, entries, 2);
    idata_finish(i);
}

/* As many references as there can be, each to a DLL that does not exist: the first decides. Names
 * are near the begin of the directory, so they are made of its entries: "bound.dll" of the first
 * two references. */
static void references_are_absent(struct odd *odd)
{
    enum { COUNT = 0xffff, BOUND_DLL = 8, L = 16 };
    odd_dll(odd, "bound.dll", dll);
    idata_finish(call_bound(odd, "bound.dll", "f", DLL_BASE + BOUND));
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    pebuild_u32(&buf, STAMP);
    pebuild_u32(&buf, BOUND_DLL | (uint32_t)COUNT << 16);
    pebuild_bytes(&buf, "bound.dl", 8);
    for (uint32_t n = 1; n < COUNT; n++) {
        pebuild_u32(&buf, n == 1 ? 'l' : 1);
        pebuild_u32(&buf, L);
    }
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, buf.rva, buf.size);
    pebuild_buffer_section(&buf, "bound", PEBUILD_RDATA);
}

static void directory_of_rubbish(struct odd *odd)
{
    odd_dll(odd, "bound.dll", dll);
    struct idata *i = call_bound(odd, "bound.dll", "f", DLL_BASE + BOUND);
    for (uint32_t at = 0; at < 64; at += 4)
        idata_put32(i, IDATA_EXTRA + at, 0xffffffff);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, IDATA_EXTRA, 0x7fffffff);
    idata_finish(i);
}

/* The descriptor names one DLL, the directory another, in which the address lies. */
static void another_dll(struct odd *odd)
{
    const struct entry entries[] = {{"bound2.dll", OTHER_STAMP, 0}};
    odd_dll(odd, "bound.dll", dll);
    odd_dll(odd, "bound2.dll", other_dll);
    struct idata *i = call_bound(odd, "bound.dll", "f", OTHER_BASE + BOUND);
    bound_directory(i, entries, 1);
    idata_finish(i);
}

/* ---- delay-load data ------------------------------------------------------------------------ */

enum { UNTOUCHED = 0x11223344 };

/* A descriptor for putchar of `dll_name`, all fields RVAs; the program looks at its table. */
static struct idata *delayed(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, idata_table(IAT_2), UNTOUCHED, "the table is untouched,",
                   "the table was written to,");
    odd_print_if32(odd, idata_table(LOOKUP), 0, "the handle, too", "the handle was written to");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, IDATA_EXTRA, 64);
    return i;
}

static void delay_descriptor(struct idata *i, uint32_t name)
{
    idata_put32(i, IDATA_EXTRA, 1);
    idata_put32(i, IDATA_EXTRA + 4, name);
    idata_put32(i, IDATA_EXTRA + 8, idata_table(LOOKUP));
    idata_put32(i, IDATA_EXTRA + 12, idata_table(IAT_2));
    idata_put32(i, IDATA_EXTRA + 16, idata_table(LOOKUP_2));
    idata_pointer(i, idata_table(LOOKUP_2), idata_name(i, 0, "putchar"));
    idata_put32(i, idata_table(IAT_2), UNTOUCHED);
}

static void delay_data(struct odd *odd)
{
    struct idata *i = delayed(odd);
    delay_descriptor(i, idata_string(i, "msvcrt.dll"));
    idata_finish(i);
}

static void delay_zeroes(struct odd *odd)
{
    struct idata *i = delayed(odd);
    idata_put32(i, idata_table(IAT_2), UNTOUCHED);
    idata_finish(i);
}

static void delay_absent_dll(struct odd *odd)
{
    struct idata *i = delayed(odd);
    delay_descriptor(i, idata_string(i, "no such DLL.dll"));
    idata_finish(i);
}

/* No field of it can be followed. */
static void delay_rubbish(struct odd *odd)
{
    struct idata *i = delayed(odd);
    delay_descriptor(i, 0x7ffffff0);
    for (uint32_t at = 8; at < 64; at += 4)
        idata_put32(i, IDATA_EXTRA + at, 0xfffffff0);
    idata_finish(i);
}

#define LATER            (PE_WINDOWS_7 | PE_WINDOWS_10)
#define UNTOUCHED_OUTPUT "the table is untouched,\nthe handle, too"

const struct odd_row odd_rows[] = {
    {.name = "bound",
     .shows = "imports-23",
     .build = bound,
     .formats = ODD_BOTH,
     .output = "snapped"},
    {.name = "bound-elsewhere",
     .shows = "imports-24",
     .build = bound_elsewhere,
     .formats = ODD_BOTH,
     .output = "bound"},
    {.name = "bound-stamp-differs",
     .shows = "imports-23",
     .build = stamp_differs,
     .formats = ODD_BOTH,
     .output = "snapped"},
    {.name = "bound-dll-moves",
     .shows = "imports-23",
     .build = dll_moves,
     .formats = ODD_BOTH,
     .output = "snapped"},
    {.name = "bound-old-style",
     .shows = "imports-23",
     .build = old_style,
     .formats = ODD_BOTH,
     .output = "bound"},
    {.name = "bound-old-style-differs",
     .shows = "imports-23",
     .build = old_style_differs,
     .formats = ODD_BOTH,
     .output = "snapped"},
    {.name = "bound-no-directory",
     .shows = "",
     .build = no_directory,
     .formats = ODD_BOTH,
     .output = "snapped"},
    {.name = "bound-forwarded",
     .shows = "imports-23",
     .build = forwarded,
     .formats = ODD_BOTH,
     .output = "bound in the other"},
    {.name = "bound-forwarded-differs",
     .shows = "imports-23",
     .build = forwarded_differs,
     .formats = ODD_BOTH,
     .output = "snapped"},
    {.name = "bound-reference-absent",
     .shows = "",
     .build = reference_is_absent,
     .formats = ODD_BOTH,
     .output = "snapped"},
    {.name = "bound-references-absent",
     .shows = "",
     .build = references_are_absent,
     .formats = ODD_BOTH,
     .output = "snapped",
     .run_on = LATER},
    {.name = "bound-directory-of-rubbish",
     .shows = "",
     .build = directory_of_rubbish,
     .formats = ODD_BOTH,
     .output = "snapped",
     .run_on = LATER},
    {.name = "bound-directory-of-rubbish-on-xp",
     .shows = "",
     .build = directory_of_rubbish,
     .formats = ODD_BOTH,
     .error = "its directory of bound imports cannot be read",
     .run_on = PE_WINDOWS_XP},
    {.name = "bound-to-another",
     .shows = "imports-25",
     .build = another_dll,
     .formats = ODD_BOTH,
     .output = "snapped",
     .run_on = LATER},
    {.name = "bound-to-another-on-xp",
     .shows = "imports-25",
     .build = another_dll,
     .formats = ODD_BOTH,
     .output = "bound in the other",
     .run_on = PE_WINDOWS_XP},
    {.name = "delay-data",
     .shows = "imports-26",
     .build = delay_data,
     .formats = ODD_BOTH,
     .output = UNTOUCHED_OUTPUT},
    {.name = "delay-zeroes",
     .shows = "imports-27",
     .build = delay_zeroes,
     .formats = ODD_BOTH,
     .output = UNTOUCHED_OUTPUT},
    {.name = "delay-absent-dll",
     .shows = "imports-28",
     .build = delay_absent_dll,
     .formats = ODD_BOTH,
     .output = UNTOUCHED_OUTPUT},
    {.name = "delay-rubbish",
     .shows = "imports-26",
     .build = delay_rubbish,
     .formats = ODD_BOTH,
     .output = UNTOUCHED_OUTPUT},
    {0},
};
