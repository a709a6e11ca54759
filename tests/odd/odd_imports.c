/*
 * Odd images: import directories and the tables behind them (facts: behaviours, Imports; facts
 * 3.4). Bound and delayed imports are in odd_bound.c.
 *
 * Most images call msvcrt's putchar through a table of their own making: each letter that is
 * printed is an import that was resolved.
 */
#include <stdlib.h>

#include "tests/odd/idata.h"

const char odd_area[] = "imports";

/* Tables by what they are used for here. */
enum { LOOKUP, IAT, LOOKUP_2, IAT_2, LOOKUP_3, IAT_3 };

/* A program that prints letters, each by a call through a table, and then `text`. */
static struct idata *say_and_exit(struct odd *odd, const char *letters, const uint32_t *tables,
                                  const char *text)
{
    odd_program(odd, PEBUILD_EXE);
    for (uint32_t i = 0; letters[i]; i++)
        idata_say(odd, idata_table(tables[i]), letters[i]);
    odd_print(odd, text);
    odd_exit(odd, 0);
    return idata_begin(odd);
}

static struct idata *say_one(struct odd *odd, const char *text)
{
    return say_and_exit(odd, "A", (const uint32_t[]){IAT}, text);
}

/* Prints `yes` when the 32 bits at two RVAs are equal. */
static void print_if_equal(struct odd *odd, uint32_t a, uint32_t b, const char *yes, const char *no)
{
    odd_address(odd, a);
    odd_emit(odd, (const uint8_t[]){0x8b, 0x08}, 2); /* mov ecx, [eax] */
    odd_address(odd, b);
    odd_emit(odd, (const uint8_t[]){0x3b, 0x08, 0x0f, 0x85, 0, 0, 0, 0}, 8); /* cmp; jne */
    uint32_t otherwise = odd->code.size;
    odd_print(odd, yes);
    odd_emit(odd, (const uint8_t[]){0xe9, 0, 0, 0, 0}, 5); /* jmp */
    uint32_t end = odd->code.size;
    odd_print(odd, no);
    pebuild_put32(odd->code.data, otherwise - 4, end - otherwise);
    pebuild_put32(odd->code.data, end - 4, odd->code.size - end);
}

/* ---- tables --------------------------------------------------------------------------------- */

static void by_name(struct odd *odd)
{
    struct idata *i = say_one(odd, " by name");
    idata_putchar(i, 2, idata_table(LOOKUP), idata_table(IAT));
    idata_finish(i);
}

static void no_lookup_table(struct odd *odd)
{
    struct idata *i = say_one(odd, " without a name table");
    idata_putchar(i, 2, 0, idata_table(IAT));
    idata_finish(i);
}

static void old_table_content(struct odd *odd, const char *text, uint64_t content)
{
    struct idata *i = say_one(odd, text);
    idata_putchar(i, 2, idata_table(LOOKUP), idata_table(IAT));
    idata_pointer(i, idata_table(IAT), content);
    idata_finish(i);
}

/* What the address table says is the name of another function, which does not exist. */
static void table_names_another(struct odd *odd)
{
    struct idata *i = say_one(odd, " by the name table");
    idata_putchar(i, 2, idata_table(LOOKUP), idata_table(IAT));
    idata_pointer(i, idata_table(IAT), idata_name(i, 0, "no_such_function"));
    idata_finish(i);
}

static void table_of_rubbish(struct odd *odd)
{
    old_table_content(odd, " over rubbish", 0x7fedcba9);
}

static void table_of_ordinals(struct odd *odd)
{
    old_table_content(odd, " over an ordinal", idata_ordinal(0x7777));
}

/* Two names, three slots: the third is no part of the table, nor does an end have to be. */
static void table_without_end(struct odd *odd)
{
    enum { MARK = 0x5a5a5a5a };
    odd_program(odd, PEBUILD_EXE);
    idata_say(odd, idata_slot(IAT, 0), 'A');
    idata_say(odd, idata_slot(IAT, 1), 'B');
    odd_print_if32(odd, idata_slot(IAT, 2), MARK, " and no more", " and more");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_putchar(i, 2, idata_table(LOOKUP), idata_table(IAT));
    idata_pointer(i, idata_slot(LOOKUP, 1), idata_name(i, 0, "putchar"));
    for (uint32_t slot = 0; slot < 3; slot++)
        idata_put32(i, idata_slot(IAT, slot), MARK);
    idata_finish(i);
}

/* Nothing is wanted of either DLL; the second's name cannot even be read. */
static void empty_tables(struct odd *odd)
{
    struct idata *i = say_one(odd, " and two empty ones");
    idata_descriptor(i, 2, idata_table(LOOKUP_2), "no such DLL", idata_table(IAT_2));
    idata_descriptor(i, 3, 0, NULL, idata_table(IAT_3));
    idata_put32(i, idata_field(3, 3), 0x7ffffff0);
    idata_putchar(i, 4, idata_table(LOOKUP), idata_table(IAT));
    idata_finish(i);
}

/* The first table is written over the descriptor that it belongs to, the second over fields of a
 * descriptor that has not been read yet. */
static void tables_over_descriptors(struct odd *odd)
{
    const uint32_t own = idata_field(2, 0), later = idata_field(4, sizeof(void *) == 8 ? 1 : 2);
    odd_program(odd, PEBUILD_EXE);
    idata_say(odd, own, 'A');
    idata_say(odd, later, 'B');
    idata_say(odd, idata_table(IAT), 'C');
    odd_print(odd, " over descriptors");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_descriptor(i, 2, idata_table(LOOKUP), "msvcrt.dll", own);
    idata_pointer(i, idata_table(LOOKUP), idata_name(i, 0, "putchar"));
    idata_import(i, 3, idata_table(LOOKUP_2), "msvcrt.dll", later, "putchar");
    idata_put32(i, idata_field(4, 0), idata_table(LOOKUP_3));
    idata_import(i, 4, idata_table(LOOKUP_3), "msvcrt.dll", idata_table(IAT), "putchar");
    idata_put32(i, later, 1); /* a table that begins with 0 is empty */
    idata_finish(i);
}

/* A read-only PE section, and none of the import directory's, holds the address table. */
static void table_elsewhere(struct odd *odd)
{
    const uint32_t iat = IDATA + IDATA_SIZE;
    uint8_t bytes[64] = {0};
    odd_program(odd, PEBUILD_EXE);
    idata_say(odd, iat, 'A');
    odd_print(odd, " in a read-only PE section");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_descriptor(i, 2, idata_table(LOOKUP), "msvcrt.dll", iat);
    idata_pointer(i, idata_table(LOOKUP), idata_name(i, 0, "putchar"));
    idata_finish(i);
    bytes[0] = 1;
    pebuild_section(odd->b, ".rdata", PEBUILD_RDATA, bytes, sizeof(bytes), 0);
}

/* ---- the list of descriptors ---------------------------------------------------------------- */

/* The third descriptor has everything but a name; the fourth would fail. */
static void ends_without_name(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "a descriptor without a name ends the list");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_import(i, 2, idata_table(LOOKUP), NULL, idata_table(IAT), "putchar");
    idata_put32(i, idata_field(2, 1), 0xffffffff);
    idata_put32(i, idata_field(2, 2), 0xffffffff);
    idata_import(i, 3, idata_table(LOOKUP_2), "no such DLL", idata_table(IAT_2), "f");
    idata_finish(i);
}

static void ends_without_table(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "a descriptor without an address table ends the list");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_descriptor(i, 2, idata_table(LOOKUP), "no such DLL", 0);
    idata_import(i, 3, idata_table(LOOKUP_2), "no such DLL", idata_table(IAT_2), "f");
    idata_finish(i);
}

/* Copies the first `count` descriptors to `to`, where the directory then begins. */
static void move_directory(struct idata *i, uint32_t to, uint32_t count)
{
    for (uint32_t at = count * 20; at-- > 0;) {
        if (to + at >= IDATA)
            i->bytes[to + at - IDATA] = i->bytes[at];
    }
    i->directory = to;
}

/* The raw data ends with the last descriptor but for 12 bytes of the terminator: fields that may
 * hold anything. Name and address table lie in the zero fill. */
static void terminator_in_zero_fill(struct odd *odd)
{
    const uint32_t raw_size = 0xc00, terminator = IDATA + raw_size - 12;
    struct idata *i = say_one(odd, " and an end in zero fill");
    idata_putchar(i, 2, idata_table(LOOKUP), idata_table(IAT));
    move_directory(i, terminator - 60, 3);
    for (uint32_t field = 0; field < 3; field++)
        idata_put32(i, terminator + field * 4, 0xffffffff);
    i->raw_size = raw_size;
    idata_finish(i);
}

/* The last bytes of the PE section before: lookup table and time stamp of the first descriptor. */
static void first_in_zero_fill(struct odd *odd)
{
    const uint32_t putchar_iat = idata_table(IAT);
    odd_program(odd, PEBUILD_EXE);
    idata_say(odd, putchar_iat, 'A');
    odd_print(odd, " and a begin in zero fill");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    uint8_t base[40];
    for (uint32_t at = 0; at < sizeof(base); at++)
        base[at] = i->bytes[at];
    for (uint32_t at = 0; at < sizeof(base); at++)
        i->bytes[12 + at] = base[at];
    i->directory = IDATA - 8;
    idata_put32(i, IDATA, 0);                                 /* ForwarderChain */
    idata_put32(i, IDATA + 4, idata_string(i, "msvcrt.dll")); /* Name */
    idata_put32(i, IDATA + 8, putchar_iat);
    idata_pointer(i, putchar_iat, idata_name(i, 0, "putchar"));
    idata_finish(i);
}

/* ---- names of DLLs -------------------------------------------------------------------------- */

static void spelled(struct odd *odd, const char *dll, const char *text)
{
    struct idata *i = say_one(odd, text);
    idata_import(i, 2, idata_table(LOOKUP), dll, idata_table(IAT), "putchar");
    idata_finish(i);
}

static void no_extension(struct odd *odd)
{
    spelled(odd, "msvcrt", " without an extension");
}

static void other_case(struct odd *odd)
{
    spelled(odd, "mSVcRT.DlL", " in another case");
}

static void trailing_dots(struct odd *odd)
{
    spelled(odd, "msvcrt.dll. . ..", " with dots and blanks");
}

static void three_spellings(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    idata_say(odd, idata_table(IAT), 'A');
    idata_say(odd, idata_table(IAT_2), 'B');
    idata_say(odd, idata_table(IAT_3), 'C');
    print_if_equal(odd, idata_table(IAT), idata_table(IAT_2), " first two the same,",
                   " first two differ,");
    print_if_equal(odd, idata_table(IAT), idata_table(IAT_3), "the third, too",
                   "the third is another");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_import(i, 2, idata_table(LOOKUP), "msvcrt", idata_table(IAT), "putchar");
    idata_import(i, 3, 0, "MSVCRT.dll", idata_table(IAT_2), "putchar");
    idata_import(i, 4, idata_table(LOOKUP_3), "Msvcrt.DLL", idata_table(IAT_3), "putchar");
    idata_finish(i);
}

/* lstrlenA(NULL) is 0; the contract is about processes and threads and does not list it. */
static void api_set(struct odd *odd)
{
    const uint32_t null = 0;
    odd_program(odd, PEBUILD_EXE);
    odd_call_import(odd, idata_table(IAT), 1, &null);
    odd_print(odd, "through an API set");
    odd_call_import(odd, idata_table(IAT_2), 1, &null);
    struct idata *i = idata_begin(odd);
    const char *contract = "api-ms-win-core-processthreads-l1-1-0.dll";
    idata_import(i, 2, idata_table(LOOKUP), contract, idata_table(IAT), "lstrlenA");
    idata_import(i, 3, idata_table(LOOKUP_2), contract, idata_table(IAT_2), "ExitProcess");
    idata_finish(i);
}

/* ---- a program that imports from itself ----------------------------------------------------- */

/* The function that the program exports comes first in its code, the entry point behind it. */
static void imports_itself(struct odd *odd, const char *own_name, const char *function,
                           const char *text)
{
    struct pebuild_import imports[] = {
        {.module = "msvcrt.dll", .names = {"printf"}},
        {.module = "KERNEL32.dll", .names = {"ExitProcess"}},
        {.module = own_name, .names = {function}},
    };
    odd_program_with(odd, PEBUILD_EXE, imports, 3);
    uint32_t own = odd_here(odd);
    odd_print(odd, text);
    odd_emit(odd, (const uint8_t[]){0xc3}, 1); /* ret */
    odd->b->h.address_of_entry_point = odd_here(odd);
    odd_call_import(odd, imports[2].iat_rva, 0, NULL);
    odd_exit(odd, 0);
    odd_text(odd);
    const struct pebuild_export exports[] = {{"own", 0x1234, own, NULL}};
    pebuild_exports(odd->b, "another name.dll", 0x1230, exports, 1);
}

static void self_by_ordinal(struct odd *odd)
{
    imports_itself(odd, "self-by-ordinal.exe", "#4660", "its own function, by ordinal");
}

static void self_by_name(struct odd *odd)
{
    imports_itself(odd, "SELF-by-name.exe", "own", "its own function, by name");
}

static void self_with_dots(struct odd *odd)
{
    imports_itself(odd, "self-with-dots.exe. . ", "own", "its own function, through dots");
}

/* ---- hints ---------------------------------------------------------------------------------- */

/* "f" three times, "g" once, each with an address of its own. */
static void hinted_dll(struct odd *odd)
{
    static const char *const texts[] = {"the first f", "the second f", "the third f", "g"};
    struct pebuild_export exports[4];
    odd_program(odd, PEBUILD_DLL);
    odd_return(odd, 1);
    for (uint32_t i = 0; i < 4; i++) {
        exports[i] = (struct pebuild_export){i < 3 ? "f" : "g", i + 1, odd_here(odd), NULL};
        odd_print(odd, texts[i]);
        odd_emit(odd, (const uint8_t[]){0xc3}, 1); /* ret */
    }
    odd_text(odd);
    pebuild_exports(odd->b, "hinted.dll", 1, exports, 4);
    /* Sorting may have changed the order of the equal ones. */
    struct pebuild_section *edata = &odd->b->sections[2];
    for (uint32_t i = 0; i < 4; i++)
        pebuild_put16(edata->data, 40 + 16 + 16 + i * 2, (uint16_t)i);
}

/* Hints 2, 0, 1, and for g one that lies and one that is far beyond the names. */
static void hints(struct odd *odd)
{
    static const uint16_t hints[] = {2, 0, 1, 1, 0xffff};
    odd_dll(odd, "hinted.dll", hinted_dll);
    odd_program(odd, PEBUILD_EXE);
    for (uint32_t slot = 0; slot < 5; slot++)
        odd_call_import(odd, idata_slot(IAT, slot), 0, NULL);
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_descriptor(i, 2, idata_table(LOOKUP), "hinted.dll", idata_table(IAT));
    for (uint32_t slot = 0; slot < 5; slot++) {
        uint64_t thunk = idata_name(i, hints[slot], slot < 3 ? "f" : "g");
        idata_pointer(i, idata_slot(LOOKUP, slot), thunk);
        idata_pointer(i, idata_slot(IAT, slot), thunk);
    }
    idata_finish(i);
}

/* ---- what comes before ---------------------------------------------------------------------- */

/* The image cannot be where it wants to be and goes to 0x10000; the fixup makes a name's RVA good.
 */
static void repaired_by_fixup(struct odd *odd)
{
    struct idata *i = say_one(odd, " after a fixup");
    uint32_t name = idata_field(2, 3);
    bool wide = sizeof(void *) == 8;
    uint64_t base = wide ? 0xffff800000000000 : 0x80000000, delta = 0x10000 - base;
    idata_putchar(i, 2, idata_table(LOOKUP), idata_table(IAT));
    idata_put32(i, name, IDATA_STRINGS + 0x100 - (uint32_t)delta);
    i->strings = IDATA_STRINGS + 0x100;
    idata_string(i, "msvcrt.dll");
    odd->b->h.image_base = base;
    struct pebuild *b = odd->b;
    idata_finish(i);
    pebuild_fixup(b, name, 3); /* HIGHLOW */
    pebuild_relocs(b);
}

/* A TLS directory whose index is stored at `index_rva`: 0, as the program has the first slot. */
static void tls_index_at(struct idata *i, uint32_t index_rva)
{
    const uint64_t base = i->odd->b->h.image_base;
    const uint32_t word = sizeof(void *);
    idata_pointer(i, IDATA_EXTRA, base + IDATA_STRINGS);
    idata_pointer(i, IDATA_EXTRA + word, base + IDATA_STRINGS);
    idata_pointer(i, IDATA_EXTRA + 2 * word, base + index_rva);
    pebuild_directory(i->odd->b, IMAGE_DIRECTORY_ENTRY_TLS, IDATA_EXTRA, 4 * word + 8);
}

static void tls_cuts_list(struct odd *odd)
{
    struct idata *i = say_one(odd, " and a list cut short");
    idata_putchar(i, 2, idata_table(LOOKUP), idata_table(IAT));
    idata_import(i, 3, idata_table(LOOKUP_2), "cut off.dll", idata_table(IAT_2), "f");
    tls_index_at(i, idata_field(3, 3));
    idata_finish(i);
}

/* Before the imports are resolved, or after? */
static void tls_zeroes_descriptor(struct odd *odd)
{
    const uint32_t thunk = IDATA_STRINGS;
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, idata_field(2, 3), 0, "the name is 0,", "the name is there,");
    odd_print_if32(odd, idata_table(IAT), thunk, "unresolved", "resolved");
    odd_exit(odd, 0);
    struct idata *i = idata_begin(odd);
    idata_putchar(i, 2, idata_table(LOOKUP), idata_table(IAT));
    tls_index_at(i, idata_field(2, 3));
    idata_finish(i);
}

/* ---- who called the entry point ------------------------------------------------------------- */

/* Code with jumps to one place that is not known yet. */
struct probe {
    struct odd *odd;
    uint32_t failures[8], count;
};

#define EMIT(p, ...) \
    odd_emit((p)->odd, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The same instruction with 64-bit operands on x86-64. */
#define EMIT_WIDE(p, ...)        \
    do {                         \
        if ((p)->odd->code.wide) \
            EMIT(p, 0x48);       \
        EMIT(p, __VA_ARGS__);    \
    } while (0)

static void fail_if(struct probe *p, uint8_t condition)
{
    EMIT(p, 0x0f, condition, 0, 0, 0, 0);
    p->failures[p->count++] = p->odd->code.size;
}

/* rsi = the image that the entry point returns to, found by walking down to its MZ. */
static void probe_find_caller(struct probe *p)
{
    if (p->odd->code.wide)
        EMIT(p, 0x48, 0x8b, 0x04, 0x24); /* mov rax, [rsp] */
    else
        EMIT(p, 0x8b, 0x04, 0x24);
    EMIT_WIDE(p, 0x25, 0x00, 0xf0, 0xff, 0xff); /* and rax, -0x1000 */
    uint32_t loop = p->odd->code.size;
    EMIT(p, 0x66, 0x81, 0x38, 'M', 'Z', 0x0f, 0x84, 0, 0, 0, 0); /* cmp word [rax], MZ; je */
    uint32_t found = p->odd->code.size;
    EMIT_WIDE(p, 0x2d, 0x00, 0x10, 0x00, 0x00); /* sub rax, 0x1000 */
    EMIT(p, 0xeb, 0);
    p->odd->code.data[p->odd->code.size - 1] = (uint8_t)(loop - p->odd->code.size);
    pebuild_put32(p->odd->code.data, found - 4, p->odd->code.size - found);
    EMIT_WIDE(p, 0x89, 0xc6); /* mov rsi, rax */
}

/* rbp = its NT headers, rdi = its export directory; the name there begins with kern. */
static void probe_name(struct probe *p)
{
    EMIT(p, 0x8b, 0x6e, 0x3c);              /* mov ebp, [rsi+0x3c] */
    EMIT_WIDE(p, 0x01, 0xf5);               /* add rbp, rsi */
    EMIT(p, 0x81, 0x7d, 0, 'P', 'E', 0, 0); /* cmp dword [rbp], PE */
    fail_if(p, 0x85);
    EMIT(p, 0x8b, 0xbd, p->odd->code.wide ? 0x88 : 0x78, 0, 0, 0); /* mov edi, [rbp+...] */
    EMIT_WIDE(p, 0x01, 0xf7);                                      /* add rdi, rsi */
    EMIT(p, 0x8b, 0x47, 0x0c);                                     /* mov eax, [rdi+12] */
    EMIT_WIDE(p, 0x01, 0xf0);                                      /* add rax, rsi */
    EMIT(p, 0x8b, 0x00, 0x0d, 0x20, 0x20, 0x20, 0x20);             /* mov; or eax, blanks */
    EMIT(p, 0x3d, 'k', 'e', 'r', 'n');                             /* cmp eax, kern */
    fail_if(p, 0x85);
}

/* ebx = the import's address; an entry of the export address table plus the base is the same. */
static void probe_offset(struct probe *p)
{
    odd_address(p->odd, p->odd->code.exit_iat);
    EMIT(p, 0x8b, 0x18);       /* mov ebx, [rax] */
    EMIT(p, 0x8b, 0x4f, 0x14); /* mov ecx, [rdi+20] */
    EMIT(p, 0x8b, 0x57, 0x1c); /* mov edx, [rdi+28] */
    EMIT_WIDE(p, 0x01, 0xf2);  /* add rdx, rsi */
    uint32_t loop = p->odd->code.size;
    EMIT(p, 0x85, 0xc9); /* test ecx, ecx */
    fail_if(p, 0x84);
    EMIT(p, 0x8b, 0x02);                            /* mov eax, [rdx] */
    EMIT(p, 0x01, 0xf0);                            /* add eax, esi */
    EMIT_WIDE(p, 0x83, 0xc2, 0x04);                 /* add rdx, 4 */
    EMIT(p, 0x83, 0xe9, 0x01, 0x39, 0xd8, 0x75, 0); /* sub ecx, 1; cmp eax, ebx; jne */
    p->odd->code.data[p->odd->code.size - 1] = (uint8_t)(loop - p->odd->code.size);
}

/* The import's address is not beyond SizeOfImage. */
static void probe_inside(struct probe *p)
{
    odd_address(p->odd, p->odd->code.exit_iat);
    EMIT_WIDE(p, 0x8b, 0x00);  /* mov rax, [rax] */
    EMIT_WIDE(p, 0x29, 0xf0);  /* sub rax, rsi */
    EMIT(p, 0x8b, 0x4d, 0x50); /* mov ecx, [rbp+0x50] */
    EMIT_WIDE(p, 0x39, 0xc8);  /* cmp rax, rcx */
    fail_if(p, 0x83);
}

static void probe_caller(struct odd *odd, void (*look)(struct probe *), const char *text)
{
    struct probe p = {.odd = odd};
    odd_program(odd, PEBUILD_EXE);
    probe_find_caller(&p);
    probe_name(&p);
    look(&p);
    odd_print(odd, text);
    odd_exit(odd, 0);
    for (uint32_t i = 0; i < p.count; i++)
        pebuild_put32(odd->code.data, p.failures[i] - 4, odd->code.size - p.failures[i]);
    odd_print(odd, "no");
    odd_exit(odd, 1);
}

static void caller_is_kernel32(struct odd *odd)
{
    probe_caller(odd, probe_offset, "kernel32 called, its function is where its exports say");
}

static void imports_of_caller(struct odd *odd)
{
    probe_caller(odd, probe_inside, "the imported function is inside of the caller");
}

/* ---- what cannot be resolved ---------------------------------------------------------------- */

static void missing(struct odd *odd, const char *dll, uint64_t ordinal, const char *function)
{
    struct idata *i = say_one(odd, " despite all");
    idata_import(i, 2, idata_table(LOOKUP), dll, idata_table(IAT), function);
    if (ordinal)
        idata_pointer(i, idata_table(LOOKUP), ordinal);
    idata_finish(i);
}

static void missing_dll(struct odd *odd)
{
    missing(odd, "no such.dll", 0, "f");
}

static void missing_name(struct odd *odd)
{
    missing(odd, "msvcrt.dll", 0, "no_such_function");
}

static void missing_ordinal(struct odd *odd)
{
    missing(odd, "msvcrt.dll", idata_ordinal(0xfffe), "putchar");
}

/* Descriptors up to the end of the image, of which nothing is wanted. */
static void endless_list(struct odd *odd)
{
    const uint32_t zeroes = 0x1f00; /* in the zero fill of .idata */
    struct idata *i = say_one(odd, " despite all");
    for (uint32_t index = 2; idata_field(index, 4) < IDATA + IDATA_SIZE; index++) {
        idata_put32(i, idata_field(index, 3), zeroes);
        idata_put32(i, idata_field(index, 4), zeroes);
    }
    for (uint32_t at = IDATA + IDATA_SIZE - IDATA_SIZE % 20; at < IDATA + IDATA_SIZE; at += 4)
        idata_put32(i, at, zeroes);
    idata_finish(i);
}

/* Nothing but the end of the image ends the name table. */
static void endless_table(struct odd *odd)
{
    struct idata *i = say_one(odd, " despite all");
    uint32_t table = IDATA + IDATA_SIZE - 4 * (uint32_t)sizeof(void *);
    uint64_t thunk = idata_name(i, 0, "putchar");
    idata_descriptor(i, 2, table, "msvcrt.dll", idata_table(IAT));
    idata_pointer(i, idata_table(IAT), thunk);
    for (uint32_t slot = 0; slot < 4; slot++)
        idata_pointer(i, table + slot * (uint32_t)sizeof(void *), thunk);
    idata_finish(i);
}

#define LATER (PE_WINDOWS_7 | PE_WINDOWS_10)

const struct odd_row odd_rows[] = {
    {.name = "by-name",
     .shows = "imports-01",
     .build = by_name,
     .formats = ODD_BOTH,
     .output = "A by name"},
    {.name = "no-name-table",
     .shows = "imports-02",
     .build = no_lookup_table,
     .formats = ODD_BOTH,
     .output = "A without a name table"},
    {.name = "no-extension",
     .shows = "imports-03",
     .build = no_extension,
     .formats = ODD_BOTH,
     .output = "A without an extension"},
    {.name = "other-case",
     .shows = "imports-04",
     .build = other_case,
     .formats = ODD_BOTH,
     .output = "A in another case"},
    {.name = "three-spellings",
     .shows = "imports-05",
     .build = three_spellings,
     .formats = ODD_BOTH,
     .output = "ABC first two the same,\nthe third, too"},
    {.name = "ends-without-name",
     .shows = "imports-06",
     .build = ends_without_name,
     .formats = ODD_BOTH,
     .output = "a descriptor without a name ends the list"},
    {.name = "ends-without-table",
     .shows = "",
     .build = ends_without_table,
     .formats = ODD_BOTH,
     .output = "a descriptor without an address table ends the list"},
    {.name = "terminator-in-zero-fill",
     .shows = "imports-07",
     .build = terminator_in_zero_fill,
     .formats = ODD_BOTH,
     .output = "A and an end in zero fill"},
    {.name = "first-in-zero-fill",
     .shows = "imports-08",
     .build = first_in_zero_fill,
     .formats = ODD_BOTH,
     .output = "A and a begin in zero fill"},
    {.name = "tables-over-descriptors",
     .shows = "imports-09",
     .build = tables_over_descriptors,
     .formats = ODD_BOTH,
     .output = "ABC over descriptors"},
    {.name = "table-elsewhere",
     .shows = "",
     .build = table_elsewhere,
     .formats = ODD_BOTH,
     .output = "A in a read-only PE section"},
    {.name = "empty-tables",
     .shows = "imports-10",
     .build = empty_tables,
     .formats = ODD_BOTH,
     .output = "A and two empty ones"},
    {.name = "table-names-another",
     .shows = "imports-11",
     .build = table_names_another,
     .formats = ODD_BOTH,
     .output = "A by the name table"},
    {.name = "table-of-rubbish",
     .shows = "imports-12",
     .build = table_of_rubbish,
     .formats = ODD_BOTH,
     .output = "A over rubbish"},
    {.name = "table-of-ordinals",
     .shows = "imports-12",
     .build = table_of_ordinals,
     .formats = ODD_BOTH,
     .output = "A over an ordinal"},
    {.name = "table-without-end",
     .shows = "imports-13",
     .build = table_without_end,
     .formats = ODD_BOTH,
     .output = "AB and no more"},
    {.name = "api-set",
     .shows = "imports-14",
     .build = api_set,
     .formats = ODD_BOTH,
     .output = "through an API set",
     .run_on = LATER},
    {.name = "api-set-on-xp",
     .shows = "imports-14",
     .build = api_set,
     .formats = ODD_BOTH,
     .error = "api-ms-win-core-processthreads-l1-1-0.dll",
     .run_on = PE_WINDOWS_XP},
    {.name = "repaired-by-fixup",
     .shows = "imports-17",
     .build = repaired_by_fixup,
     .formats = ODD_BOTH,
     .output = "A after a fixup"},
    {.name = "trailing-dots",
     .shows = "imports-18",
     .build = trailing_dots,
     .formats = ODD_BOTH,
     .output = "A with dots and blanks",
     .run_on = PE_WINDOWS_XP},
    {.name = "hints",
     .shows = "imports-19",
     .build = hints,
     .formats = ODD_BOTH,
     .output = "the third f\nthe first f\nthe second f\ng\ng"},
    {.name = "self-by-ordinal",
     .shows = "imports-20",
     .build = self_by_ordinal,
     .formats = ODD_BOTH,
     .output = "its own function, by ordinal"},
    {.name = "self-by-name",
     .shows = "imports-21",
     .build = self_by_name,
     .formats = ODD_BOTH,
     .output = "its own function, by name"},
    {.name = "self-with-dots",
     .shows = "imports-22",
     .build = self_with_dots,
     .formats = ODD_BOTH,
     .output = "its own function, through dots"},
    {.name = "caller-is-kernel32",
     .shows = "imports-29",
     .build = caller_is_kernel32,
     .formats = ODD_BOTH,
     .output = "kernel32 called, its function is where its exports say"},
    {.name = "imports-of-caller",
     .shows = "imports-30",
     .build = imports_of_caller,
     .formats = ODD_BOTH,
     .output = "the imported function is inside of the caller"},
    {.name = "tls-cuts-list",
     .shows = "imports-31",
     .build = tls_cuts_list,
     .formats = ODD_BOTH,
     .output = "A and a list cut short",
     .run_on = LATER},
    {.name = "tls-cuts-list-on-xp",
     .shows = "imports-31",
     .build = tls_cuts_list,
     .formats = ODD_BOTH,
     .error = "cut off.dll",
     .run_on = PE_WINDOWS_XP},
    {.name = "tls-zeroes-descriptor",
     .shows = "imports-32",
     .build = tls_zeroes_descriptor,
     .formats = ODD_BOTH,
     .output = "the name is 0,\nunresolved",
     .run_on = LATER},
    {.name = "tls-zeroes-descriptor-on-xp",
     .shows = "imports-32",
     .build = tls_zeroes_descriptor,
     .formats = ODD_BOTH,
     .output = "the name is 0,\nresolved",
     .run_on = PE_WINDOWS_XP},
    {.name = "missing-dll",
     .shows = "",
     .build = missing_dll,
     .formats = ODD_BOTH,
     .error = "no such.dll"},
    {.name = "missing-name",
     .shows = "",
     .build = missing_name,
     .formats = ODD_BOTH,
     .error = "msvcrt.dll!no_such_function"},
    {.name = "missing-ordinal",
     .shows = "",
     .build = missing_ordinal,
     .formats = ODD_BOTH,
     .error = "msvcrt.dll!#65534"},
    {.name = "endless-list",
     .shows = "",
     .build = endless_list,
     .formats = ODD_BOTH,
     .error = "import directory cannot be read"},
    {.name = "endless-table",
     .shows = "",
     .build = endless_table,
     .formats = ODD_BOTH,
     .error = "the imports from msvcrt.dll cannot be read"},
    {0},
};
