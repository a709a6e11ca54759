/*
 * Odd images: export directories (facts: behaviours, Exports; facts 3.5).
 *
 * Most rows are a program that imports from a DLL beside it; the DLL's base is fixed, so that the
 * program can compare the addresses that it was given.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/odd/idata.h"

const char odd_area[] = "exports";

enum { LOOKUP, IAT, LOOKUP_2, IAT_2 };

enum {
    PROGRAM_BASE = 0x400000,
    DLL_BASE = 0x60000000,
    OTHER_BASE = 0x61000000,
    LOW_BASE = 0x300000,
    FUNCTION = 0x2040,        /* code that prints */
    EXPORTS = 0x3000,         /* .edata of the DLLs */
    FORWARDER = EXPORTS + 52, /* ... and the first forwarder there, behind the name f */
};

#define RETURN(odd) odd_emit(odd, (const uint8_t[]){0xc3}, 1)

static void pad_to(struct odd *odd, uint32_t rva)
{
    while (odd_here(odd) < rva)
        odd_emit(odd, (const uint8_t[]){0xcc}, 1);
    if (odd_here(odd) != rva)
        abort();
}

/* A DLL with one function, at FUNCTION, that prints. */
static void begin_dll(struct odd *odd, uint32_t base, const char *text)
{
    odd_program(odd, PEBUILD_DLL);
    odd_return(odd, 1);
    pad_to(odd, FUNCTION);
    odd_print(odd, text);
    RETURN(odd);
    odd_text(odd);
    odd->b->h.image_base = base;
}

/* A program with one more DLL, `names` of which it imports into IAT. */
static struct idata *begin_import(struct odd *odd, const char *dll, const char *const *names,
                                  uint32_t count)
{
    struct idata *i = idata_begin(odd);
    idata_descriptor(i, 2, idata_table(LOOKUP), dll, idata_table(IAT));
    for (uint32_t n = 0; n < count; n++) {
        uint64_t thunk = names[n][0] == '#' ? idata_ordinal((uint16_t)atoi(names[n] + 1))
                                            : idata_name(i, 0, names[n]);
        idata_pointer(i, idata_slot(LOOKUP, n), thunk);
        idata_pointer(i, idata_slot(IAT, n), thunk);
    }
    return i;
}

/* A program that calls one import of `dll`. */
static void call_one(struct odd *odd, const char *dll, const char *name)
{
    odd_program(odd, PEBUILD_EXE);
    odd_call_import(odd, idata_table(IAT), 0, NULL);
    odd_exit(odd, 0);
    idata_finish(begin_import(odd, dll, &name, 1));
}

static uint8_t *export_field(struct odd *odd, uint32_t offset)
{
    struct pebuild_section *last = &odd->b->sections[odd->b->section_count - 1];
    if (last->virtual_address != EXPORTS)
        abort();
    return last->data + offset;
}

/* ---- addresses ------------------------------------------------------------------------------ */

/* Behind the first byte of "mov eax, ..." lies a jump; the instruction itself is followed by ret.
 */
static uint32_t jump_inside(struct odd *odd, const char *text)
{
    uint32_t rva = odd_here(odd) + 1;
    odd_emit(odd, (const uint8_t[]){0xb8, 0xeb, 0x03, 0x90, 0x90, 0xc3}, 6);
    odd_print(odd, text);
    RETURN(odd);
    return rva;
}

static void middle_of_instructions(struct odd *odd)
{
    struct pebuild_import imports[] = {
        {.module = "msvcrt.dll", .names = {"printf"}},
        {.module = "KERNEL32.dll", .names = {"ExitProcess"}},
        {.module = "middle-of-instructions.exe", .names = {"#1", "#2"}},
    };
    odd_program_with(odd, PEBUILD_EXE, imports, 3);
    struct pebuild_export exports[2] = {{"", 1, 0, NULL}, {"", 2, 0, NULL}};
    exports[0].rva = jump_inside(odd, "inside of one instruction,");
    exports[1].rva = jump_inside(odd, "inside of another");
    odd->b->h.address_of_entry_point = odd_here(odd);
    odd_call_import(odd, imports[2].iat_rva, 0, NULL);
    odd_call_import(odd, imports[2].iat_rva + sizeof(void *), 0, NULL);
    odd_exit(odd, 0);
    odd_text(odd);
    pebuild_exports(odd->b, "", 1, exports, 2);
}

static void annotation(struct odd *odd)
{
    static const struct pebuild_export notes[] = {
        {"begins here", 1, 0x2000, NULL},
        {"\x01 not even a name \xff", 2, 0x7fffffff, NULL},
        {"far away", 3, 0xfffffff0, NULL},
        {"between", 4, 0x12345678, NULL},
    };
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "exports as remarks");
    odd_exit(odd, 0);
    odd_text(odd);
    pebuild_exports(odd->b, "remarks", 1, notes, 4);
}

/* Its export is the program's code, which lies in front of it: base + value wraps. */
static void wrapping_dll(struct odd *odd)
{
    begin_dll(odd, DLL_BASE, "nobody calls it");
    const struct pebuild_export exports[] = {
        {"f", 1, (uint32_t)(PROGRAM_BASE + FUNCTION) - DLL_BASE, NULL}};
    pebuild_exports(odd->b, "wrapping.dll", 1, exports, 1);
}

static void before_the_image_dll(struct odd *odd)
{
    begin_dll(odd, LOW_BASE, "nobody calls it");
    const struct pebuild_export exports[] = {{"f", 1, PROGRAM_BASE + FUNCTION - LOW_BASE, NULL}};
    pebuild_exports(odd->b, "outside.dll", 1, exports, 1);
}

/* The program's FUNCTION prints; it is reached through the DLL's export. */
static void call_own_through(struct odd *odd, const char *dll, void (*build)(struct odd *odd))
{
    const char *name = "f";
    odd_dll(odd, dll, build);
    odd_program(odd, PEBUILD_EXE);
    odd_call_import(odd, idata_table(IAT), 0, NULL);
    odd_exit(odd, 0);
    pad_to(odd, FUNCTION);
    odd_print(odd, "the program's own code");
    RETURN(odd);
    idata_finish(begin_import(odd, dll, &name, 1));
}

static void wraps(struct odd *odd)
{
    call_own_through(odd, "wrapping.dll", wrapping_dll);
}

static void outside(struct odd *odd)
{
    call_own_through(odd, "outside.dll", before_the_image_dll);
}

static void places_dll(struct odd *odd)
{
    begin_dll(odd, DLL_BASE, "nobody calls it");
    const struct pebuild_export exports[] = {
        {"before", 1, 0xffffffff, NULL},
        {"header", 2, 0x3c, NULL},
        {"zeroes", 3, 0x4800, NULL},
    };
    pebuild_exports(odd->b, "places.dll", 1, exports, 3);
    pebuild_section(odd->b, ".bss", PEBUILD_BSS, NULL, 0, 0x1000);
}

static void places(struct odd *odd)
{
    static const char *const names[] = {"before", "header", "zeroes"};
    odd_dll(odd, "places.dll", places_dll);
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, idata_slot(IAT, 0), DLL_BASE - 1, "one byte before the image,", "no");
    odd_print_if32(odd, idata_slot(IAT, 1), DLL_BASE + 0x3c, "in the header,", "no");
    odd_print_if32(odd, idata_slot(IAT, 2), DLL_BASE + 0x4800, "in zero fill", "no");
    odd_exit(odd, 0);
    idata_finish(begin_import(odd, "places.dll", names, 3));
}

/* ---- names and ordinals --------------------------------------------------------------------- */

/* The value that a call returned goes to `rva`. */
static void store_result(struct odd *odd, uint32_t rva)
{
    odd_emit(odd, (const uint8_t[]){0x89, 0xc1}, 2); /* mov ecx, eax */
    odd_address(odd, rva);
    odd_emit(odd, (const uint8_t[]){0x89, 0x08}, 2); /* mov [eax], ecx */
}

/* "c", "b", "a" in this order: a search by halves finds the middle one alone. */
static void unsorted_dll(struct odd *odd)
{
    static const struct pebuild_export exports[] = {
        {"a", 1, FUNCTION, NULL}, {"b", 2, FUNCTION, NULL}, {"c", 3, FUNCTION, NULL}};
    begin_dll(odd, DLL_BASE, "b is found,");
    pebuild_exports(odd->b, "unsorted.dll", 1, exports, 3);
    uint8_t *names = export_field(odd, 40 + 12);
    uint8_t first[4];
    memcpy(first, names, 4);
    memcpy(names, names + 8, 4);
    memcpy(names + 8, first, 4);
}

static void names_out_of_order(struct odd *odd)
{
    static const char *const functions[] = {"GetProcAddress", "GetLastError"};
    const uint32_t result = idata_table(4), error = result + 4, name = idata_table(5);
    const uint32_t arguments[] = {DLL_BASE, PROGRAM_BASE + name};
    odd_dll(odd, "unsorted.dll", unsorted_dll);
    odd_program(odd, PEBUILD_EXE);
    odd_call_import(odd, idata_table(IAT_2), 0, NULL);
    odd_call_import(odd, idata_slot(IAT, 0), 2, arguments);
    store_result(odd, result);
    odd_call_import(odd, idata_slot(IAT, 1), 0, NULL);
    store_result(odd, error);
    odd_print_if32(odd, result, 0, "a is not,", "a is, too,");
    odd_print_if32(odd, error, 0x7f, "the error is 127", "the error is another");
    odd_exit(odd, 0);
    struct idata *i = begin_import(odd, "KERNEL32.dll", functions, 2);
    idata_import(i, 3, idata_table(LOOKUP_2), "unsorted.dll", idata_table(IAT_2), "b");
    idata_put32(i, name, 'a');
    idata_put32(i, result, 0xffffffff);
    idata_finish(i);
}

/* Everything but base, count and address table is rubbish. */
static void ordinals_only_dll(struct odd *odd)
{
    static const uint8_t rubbish[] = {0, 4, 8, 12, 24, 32, 36};
    static const struct pebuild_export exports[] = {{"f", 0x321, FUNCTION, NULL}};
    begin_dll(odd, DLL_BASE, "by ordinal among rubbish");
    pebuild_exports(odd->b, "rubbish.dll", 0x320, exports, 1);
    for (uint32_t n = 0; n < sizeof(rubbish); n++)
        pebuild_put32(export_field(odd, 0), rubbish[n], 0xfffffff7);
}

static void ordinals_only(struct odd *odd)
{
    odd_dll(odd, "rubbish.dll", ordinals_only_dll);
    call_one(odd, "rubbish.dll", "#801");
}

static void empty_name_dll(struct odd *odd)
{
    static const struct pebuild_export exports[] = {{"", 1, FUNCTION, NULL}};
    begin_dll(odd, DLL_BASE, "the function without a name");
    pebuild_exports(odd->b, "nameless.dll", 1, exports, 1);
}

static void empty_name(struct odd *odd)
{
    odd_dll(odd, "nameless.dll", empty_name_dll);
    call_one(odd, "nameless.dll", "");
}

/* 128 KiB and a little more, of any bytes but 0. */
#define LONG_NAME 0x20123u
static char *long_name(void)
{
    char *name = malloc(LONG_NAME + 1);
    if (!name)
        abort();
    for (uint32_t n = 0; n < LONG_NAME; n++)
        name[n] = (char)(n % 255 + 1);
    name[LONG_NAME] = 0;
    return name;
}

/* The long name twice; ordinals begin at -16. */
static void long_names_dll(struct odd *odd)
{
    char *name = long_name();
    const struct pebuild_export exports[] = {
        {name, 0xfffffff1, FUNCTION, NULL},
        {name, 0xfffffff2, FUNCTION, NULL},
        {NULL, 5, FUNCTION, NULL},
    };
    begin_dll(odd, DLL_BASE, "called");
    pebuild_exports(odd->b, "long.dll", 0xfffffff0, exports, 3);
    free(name);
}

static void long_names(struct odd *odd)
{
    static const char *const ordinal = "#5";
    odd_dll(odd, "long.dll", long_names_dll);
    odd_program(odd, PEBUILD_EXE);
    odd_call_import(odd, idata_table(IAT), 0, NULL);
    odd_call_import(odd, idata_table(IAT_2), 0, NULL);
    odd_exit(odd, 0);
    struct idata *i = begin_import(odd, "long.dll", &ordinal, 1);
    idata_descriptor(i, 3, idata_table(LOOKUP_2), "long.dll", idata_table(IAT_2));
    idata_pointer(i, idata_table(LOOKUP_2), IDATA + IDATA_SIZE);
    idata_pointer(i, idata_table(IAT_2), IDATA + IDATA_SIZE);
    idata_finish(i);
    char *name = long_name();
    struct pebuild_buffer buf = pebuild_buffer(odd->b);
    pebuild_u16(&buf, 0);
    pebuild_str(&buf, name);
    pebuild_buffer_section(&buf, "name", PEBUILD_RDATA);
    free(name);
}

/* ---- forwarders ----------------------------------------------------------------------------- */

/* The directory's range ends in front of the text, which is no forwarder then but an address. */
static void range_shrunk_dll(struct odd *odd)
{
    static const struct pebuild_export exports[] = {{"f", 1, 0, "msvcrt.putchar"}};
    begin_dll(odd, DLL_BASE, "nobody calls it");
    pebuild_exports(odd->b, "shrunk.dll", 1, exports, 1);
    if (strcmp((const char *)export_field(odd, FORWARDER - EXPORTS), "msvcrt.putchar") != 0)
        abort();
    odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_EXPORT].size = FORWARDER - EXPORTS;
}

static void range_shrunk(struct odd *odd)
{
    static const char *const name = "f";
    odd_dll(odd, "shrunk.dll", range_shrunk_dll);
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, idata_table(IAT), DLL_BASE + FORWARDER, "an address", "a forwarder");
    odd_exit(odd, 0);
    idata_finish(begin_import(odd, "shrunk.dll", &name, 1));
}

/* The range takes in the PE section behind, where the text is. */
static void range_widened_dll(struct odd *odd)
{
    static const char forwarder[] = "msvcrt.putchar";
    static const struct pebuild_export exports[] = {{"f", 1, EXPORTS + 0x1010, NULL}};
    uint8_t text[64] = {0};
    begin_dll(odd, DLL_BASE, "nobody calls it");
    pebuild_exports(odd->b, "widened.dll", 1, exports, 1);
    memcpy(text + 0x10, forwarder, sizeof(forwarder));
    pebuild_section(odd->b, "far", PEBUILD_RDATA, text, sizeof(text), 0);
    odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_EXPORT].size = 0x1011;
}

static void range_widened(struct odd *odd)
{
    static const char *const name = "f";
    odd_dll(odd, "widened.dll", range_widened_dll);
    odd_program(odd, PEBUILD_EXE);
    idata_say(odd, idata_table(IAT), 'A');
    odd_print(odd, " by a forwarder");
    odd_exit(odd, 0);
    idata_finish(begin_import(odd, "widened.dll", &name, 1));
}

/* f -> chain2.g -> chain.h -> chain2 by ordinal -> chain.end; what is left turns in circles. */
static void chain_dll(struct odd *odd)
{
    static const struct pebuild_export exports[] = {
        {"f", 1, 0, "chain2.g"},
        {"h", 2, 0, "chain2.#9"},
        {"end", 3, FUNCTION, NULL},
        {"self", 4, 0, "chain.self"},
        {"there", 5, 0, "chain2.back"},
        {"nowhere", 6, 0, "no such DLL.f"},
        {"malformed", 7, 0, "no dot at all"},
    };
    begin_dll(odd, DLL_BASE, "the end of the chain");
    pebuild_exports(odd->b, "chain.dll", 1, exports, 7);
}

static void chain2_dll(struct odd *odd)
{
    static const struct pebuild_export exports[] = {
        {"g", 1, 0, "chain.h"}, {NULL, 9, 0, "CHAIN.dll.end"}, {"back", 2, 0, "chain.there"}};
    begin_dll(odd, OTHER_BASE, "nobody calls it");
    pebuild_exports(odd->b, "chain2.dll", 1, exports, 3);
}

static void call_chain(struct odd *odd, const char *name)
{
    odd_dll(odd, "chain.dll", chain_dll);
    odd_dll(odd, "chain2.dll", chain2_dll);
    call_one(odd, "chain.dll", name);
}

static void forwarder_chain(struct odd *odd)
{
    call_chain(odd, "f");
}

static void forwarder_to_itself(struct odd *odd)
{
    call_chain(odd, "self");
}

static void forwarder_circle(struct odd *odd)
{
    call_chain(odd, "there");
}

static void forwarder_to_nowhere(struct odd *odd)
{
    call_chain(odd, "nowhere");
}

static void forwarder_malformed(struct odd *odd)
{
    call_chain(odd, "malformed");
}

const struct odd_row odd_rows[] = {
    {.name = "middle-of-instructions",
     .shows = "exports-01",
     .build = middle_of_instructions,
     .formats = ODD_BOTH,
     .output = "inside of one instruction,\ninside of another"},
    {.name = "annotation",
     .shows = "exports-02",
     .build = annotation,
     .formats = ODD_BOTH,
     .output = "exports as remarks"},
    {.name = "names-out-of-order",
     .shows = "exports-03",
     .build = names_out_of_order,
     .formats = ODD_BOTH,
     .output = "b is found,\na is not,\nthe error is 127"},
    {.name = "address-wraps",
     .shows = "exports-04",
     .build = wraps,
     .formats = ODD_32,
     .output = "the program's own code"},
    {.name = "address-outside",
     .shows = "exports-04",
     .build = outside,
     .formats = ODD_BOTH,
     .output = "the program's own code"},
    {.name = "odd-places",
     .shows = "exports-05",
     .build = places,
     .formats = ODD_BOTH,
     .output = "one byte before the image,\nin the header,\nin zero fill"},
    {.name = "ordinals-only",
     .shows = "exports-06",
     .build = ordinals_only,
     .formats = ODD_BOTH,
     .output = "by ordinal among rubbish"},
    {.name = "empty-name",
     .shows = "exports-07",
     .build = empty_name,
     .formats = ODD_BOTH,
     .output = "the function without a name"},
    {.name = "long-names",
     .shows = "exports-08",
     .build = long_names,
     .formats = ODD_BOTH,
     .output = "called\ncalled"},
    {.name = "range-shrunk",
     .shows = "exports-09",
     .build = range_shrunk,
     .formats = ODD_BOTH,
     .output = "an address"},
    {.name = "range-widened",
     .shows = "exports-09",
     .build = range_widened,
     .formats = ODD_BOTH,
     .output = "A by a forwarder"},
    {.name = "forwarder-chain",
     .shows = "exports-10",
     .build = forwarder_chain,
     .formats = ODD_BOTH,
     .output = "the end of the chain"},
    {.name = "forwarder-to-itself",
     .shows = "exports-10",
     .build = forwarder_to_itself,
     .formats = ODD_BOTH,
     .error = "chain.dll has a loop of forwarders behind self"},
    {.name = "forwarder-circle",
     .shows = "exports-10",
     .build = forwarder_circle,
     .formats = ODD_BOTH,
     .error = "chain.dll has a loop of forwarders behind there"},
    {.name = "forwarder-to-nowhere",
     .shows = "",
     .build = forwarder_to_nowhere,
     .formats = ODD_BOTH,
     .error = "no such DLL was not found"},
    {.name = "forwarder-malformed",
     .shows = "",
     .build = forwarder_malformed,
     .formats = ODD_BOTH,
     .error = "chain.dll has a malformed forwarder for malformed"},
    {0},
};
