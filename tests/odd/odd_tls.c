/*
 * Odd images: TLS directories, and the callbacks that run before the entry point (behaviours, TLS).
 *
 * All programs but one stay at their base, so that their TLS directories can be written by hand as
 * they are to be in memory.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/odd/odd.h"

const char odd_area[] = "tls";

enum {
    BASE = 0x400000,
    CODE = 0x2000, /* RVAs of the programs below */
    DATA = 0x3000,
    DATA_SIZE = 0x200,
    DIRECTORY = DATA, /* the TLS directory */
    ARRAY = DATA + 0x40,
    INDEX = DATA + 0x80,
    WORD = DATA + 0x100, /* a word, or a pointer, of the program's own */
    OUTSIDE = 0x50000,   /* an RVA behind the image */
    FILLER = 0x7f7f7f7f,
};

static bool is_wide(void)
{
    return sizeof(void *) == 8;
}

/* ---- building blocks ------------------------------------------------------------------------- */

struct directory {
    uint32_t start, end, index, callbacks; /* RVAs; 0 stays 0 */
    uint32_t zero_fill, characteristics;
    uint32_t array[4]; /* RVAs, at ARRAY, with a 0 behind */
};

static void put_pointer(uint8_t *data, uint32_t rva, uint64_t value)
{
    if (is_wide())
        pebuild_put64(data, rva - DATA, value);
    else
        pebuild_put32(data, rva - DATA, (uint32_t)value);
}

static uint64_t address(const struct odd *odd, uint32_t rva)
{
    return rva ? odd->b->h.image_base + rva : 0;
}

/* ".text", and ".data" with the directory. Returns the content of ".data". */
static uint8_t *finish(struct odd *odd, const struct directory *d)
{
    const uint32_t size = is_wide() ? 8 : 4;
    const uint32_t pointers[] = {d->start, d->end, d->index, d->callbacks};
    uint8_t *zeroes = calloc(1, DATA_SIZE);
    if (!zeroes)
        abort();
    odd_text(odd);
    uint32_t i = pebuild_section(odd->b, ".data", PEBUILD_DATA, zeroes, DATA_SIZE, 0);
    uint8_t *data = odd->b->sections[i].data;
    free(zeroes);
    for (i = 0; i < 4; i++) {
        put_pointer(data, DIRECTORY + i * size, address(odd, pointers[i]));
        put_pointer(data, ARRAY + i * size, address(odd, d->array[i]));
    }
    pebuild_put32(data, 4 * size, d->zero_fill);
    pebuild_put32(data, 4 * size + 4, d->characteristics);
    pebuild_put32(data, INDEX - DATA, FILLER);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_TLS, DIRECTORY, 4 * size + 8);
    return data;
}

/* A callback that prints; its RVA. */
static uint32_t callback(struct odd *odd, const char *text)
{
    uint32_t rva = odd_here(odd);
    odd_print(odd, text);
    odd_code_return(&odd->code, 0, 12);
    return rva;
}

static void entry(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "entry point");
    odd_exit(odd, 0);
}

static void finish_one(struct odd *odd, uint32_t rva)
{
    finish(odd, &(struct directory){.index = INDEX, .callbacks = ARRAY, .array = {rva}});
}

/* ---- when ------------------------------------------------------------------------------------ */

/*
 * The callback is called again at the end, when the C runtime has been detached: what it prints
 * then stays in the buffer.
 */
static void before_entry(struct odd *odd)
{
    entry(odd);
    finish_one(odd, callback(odd, "callback"));
}

static void no_entry_point(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    uint32_t rva = odd_here(odd);
    odd_print(odd, "callback");
    odd_exit(odd, 7);
    finish_one(odd, rva);
    odd->b->h.address_of_entry_point = 0;
}

static void exits(struct odd *odd)
{
    entry(odd);
    uint32_t rva = odd_here(odd);
    odd_print(odd, "callback");
    odd_exit(odd, 5);
    finish_one(odd, rva);
}

static void exits_without_entry(struct odd *odd)
{
    exits(odd);
    odd->b->h.address_of_entry_point = OUTSIDE;
}

static void entry_far_outside(struct odd *odd)
{
    exits(odd);
    odd->b->h.address_of_entry_point = 0xfffff000;
}

/* The entry point is memory that the callback allocates, with a jump to the program's code. */
static void makes_entry(struct odd *odd)
{
    struct pebuild_import imports[] = {
        {.module = "msvcrt.dll", .names = {"printf"}},
        {.module = "KERNEL32.dll", .names = {"ExitProcess", "VirtualAlloc"}}};
    const uint32_t rwx = 0x40, reserve_and_commit = 0x3000, jump = CODE - (OUTSIDE + 5);
    odd_program_with(odd, PEBUILD_EXE, imports, 2);
    odd_print(odd, "entry point");
    odd_exit(odd, 0);
    uint32_t rva = odd_here(odd);
    odd_call_import(odd, imports[1].iat_rva + (is_wide() ? 8 : 4), 4,
                    (const uint32_t[]){BASE + OUTSIDE, 0x1000, reserve_and_commit, rwx});
    odd_store32(odd, OUTSIDE, 0xe9 | jump << 8);
    odd_store32(odd, OUTSIDE + 4, jump >> 24);
    odd_print(odd, "allocated");
    odd_code_return(&odd->code, 0, 12);
    finish_one(odd, rva);
    odd->b->h.address_of_entry_point = OUTSIDE;
}

/* ---- which ----------------------------------------------------------------------------------- */

/* The IAT slot of puts() is the callback array: it gets the image base, where "MZ" stands. */
static void imported(struct odd *odd)
{
    struct pebuild_import imports[] = {{.module = "msvcrt.dll", .names = {"printf"}},
                                       {.module = "KERNEL32.dll", .names = {"ExitProcess"}},
                                       {.module = "msvcrt.dll", .names = {"puts"}}};
    odd_program_with(odd, PEBUILD_EXE, imports, 3);
    odd_print(odd, "entry point");
    odd_exit(odd, 0);
    finish(odd, &(struct directory){.index = INDEX, .callbacks = imports[2].iat_rva});
}

/* The first callback writes the second into the array. */
static void appended(struct odd *odd)
{
    entry(odd);
    uint32_t second = callback(odd, "appended"), first = odd_here(odd);
    odd_store32(odd, ARRAY + (is_wide() ? 8 : 4), BASE + second);
    odd_print(odd, "first");
    odd_code_return(&odd->code, 0, 12);
    finish_one(odd, first);
}

/* An exception ends the walk over the callbacks and nothing else. */
static void raises(struct odd *odd)
{
    entry(odd);
    uint32_t second = callback(odd, "second"), first = odd_here(odd);
    odd_print(odd, "first");
    odd_emit(odd, "\x0f\x0b", 2); /* ud2 */
    finish(odd, &(struct directory){.index = INDEX,
                                    .callbacks = ARRAY,
                                    .start = 0x70000000,
                                    .end = 0x12345,
                                    .zero_fill = 0xfffffff0,
                                    .characteristics = 0xffffffff,
                                    .array = {first, second}});
}

/* The callback array lies nowhere. */
static void no_array(struct odd *odd)
{
    entry(odd);
    finish(odd, &(struct directory){.index = INDEX, .callbacks = 0x6fff0000});
}

static void outside_callback(struct odd *odd)
{
    entry(odd);
    finish_one(odd, 0x6fff0000);
}

/* ---- the index ------------------------------------------------------------------------------- */

/* The index is a jump's operand: as it stands in the file the jump goes to the wrong place. */
static void index_in_code(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    uint32_t jump = odd_here(odd);
    odd_emit(odd, "\xe9\0\0\0\0", 5);
    odd_print(odd, "index 0 is written");
    odd_exit(odd, 0);
    pebuild_put32(odd->code.data, jump + 1 - CODE, odd_here(odd) - (jump + 5));
    odd_print(odd, "the index is not written");
    odd_exit(odd, 1);
    finish(odd, &(struct directory){.index = jump + 1});
}

static void index_in_header(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print_if32(odd, 0x1c, 0, "index 0 is written", "the index is not written");
    odd_exit(odd, 0);
    finish(odd, &(struct directory){.index = 0x1c});
    odd_finish(odd);
    pebuild_put32(odd->bytes, 0x1c, FILLER);
}

/* ---- with DLLs ------------------------------------------------------------------------------- */

static void dll_with_index(struct odd *odd)
{
    static const struct pebuild_export exports[] = {
        {.name = "anything", .ordinal = 1, .rva = CODE}};
    odd_program(odd, PEBUILD_DLL);
    odd_print_if32(odd, INDEX, 1, "the DLL has index 1", "the DLL has another index");
    odd_return(odd, 1);
    finish(odd, &(struct directory){.index = INDEX});
    pebuild_exports(odd->b, "second.dll", 1, exports, 1);
}

/* The program's index is 0, whenever those of the DLLs are given out. */
static void two_modules(struct odd *odd)
{
    struct pebuild_import imports[] = {{.module = "msvcrt.dll", .names = {"printf"}},
                                       {.module = "KERNEL32.dll", .names = {"ExitProcess"}},
                                       {.module = "second.dll", .names = {"anything"}}};
    odd_dll(odd, "second.dll", dll_with_index);
    odd_program_with(odd, PEBUILD_EXE, imports, 3);
    odd_print_if32(odd, INDEX, 0, "the program has index 0", "the program has another index");
    odd_exit(odd, 0);
    finish(odd, &(struct directory){.index = INDEX});
}

/*
 * The index makes an end of the import descriptors: it is written over the name of the third. A
 * version that writes it first loads two DLLs.
 */
static void index_ends_imports(struct odd *odd)
{
    struct pebuild_import imports[] = {{.module = "msvcrt.dll", .names = {"printf"}},
                                       {.module = "KERNEL32.dll", .names = {"ExitProcess"}},
                                       {.module = "absent.dll", .names = {"Nothing"}}};
    odd_program_with(odd, PEBUILD_EXE, imports, 3);
    odd_print(odd, "without the third DLL");
    odd_exit(odd, 0);
    uint32_t name = odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT].rva + 2 * 20 + 12;
    finish(odd, &(struct directory){.index = name});
}

/* ---- other programs -------------------------------------------------------------------------- */

/* Everything that the TLS directory points to moves, the directory's own fields included. */
static void relocated(struct odd *odd)
{
    const uint32_t size = is_wide() ? 8 : 4, type = is_wide() ? 10 : 3;
    odd_program(odd, PEBUILD_EXE);
    odd->b->h.image_base = is_wide() ? 0xffffffffffff0000u : 0xffff0000u;
    odd_print_if32(odd, INDEX, 0, "index 0", "no index");
    odd_exit(odd, 0);
    finish_one(odd, callback(odd, "callback"));
    pebuild_fixup(odd->b, DIRECTORY + 2 * size, (uint8_t)type);
    pebuild_fixup(odd->b, DIRECTORY + 3 * size, (uint8_t)type);
    pebuild_fixup(odd->b, ARRAY, (uint8_t)type);
    pebuild_relocs(odd->b);
}

/* A call of WriteFile(eax or rax, text, length, &WORD, NULL), with fixed addresses and a stack as
 * it is at the beginning of a function. */
static void write_text(struct odd *odd, uint32_t iat, uint32_t text, uint8_t length)
{
    uint8_t narrow[] = {0x6a, 0,                            /* push 0 */
                        0x68, 0,      0, 0, 0,              /* push &WORD */
                        0x6a, length,                       /* push length */
                        0x68, 0,      0, 0, 0,              /* push text */
                        0x50,                               /* push eax */
                        0xff, 0x15,   0, 0, 0, 0};          /* call [iat] */
    uint8_t wide[] = {0x48, 0x83, 0xec,   0x38,             /* sub rsp, 0x38 */
                      0x48, 0x83, 0x64,   0x24, 0x20, 0,    /* and qword [rsp + 0x20], 0 */
                      0x48, 0x89, 0xc1,                     /* mov rcx, rax */
                      0xba, 0,    0,      0,    0,          /* mov edx, text */
                      0x41, 0xb8, length, 0,    0,    0,    /* mov r8d, length */
                      0x41, 0xb9, 0,      0,    0,    0,    /* mov r9d, &WORD */
                      0xff, 0x14, 0x25,   0,    0,    0, 0, /* call [iat] */
                      0x48, 0x83, 0xc4,   0x38};            /* add rsp, 0x38 */
    pebuild_put32(narrow, 3, BASE + WORD);
    pebuild_put32(narrow, 10, BASE + text);
    pebuild_put32(narrow, 17, BASE + iat);
    pebuild_put32(wide, 14, BASE + text);
    pebuild_put32(wide, 26, BASE + WORD);
    pebuild_put32(wide, 33, BASE + iat);
    if (is_wide())
        odd_emit(odd, wide, sizeof(wide));
    else
        odd_emit(odd, narrow, sizeof(narrow));
}

/*
 * A program that imports from kernel32 alone. Its callback prints "attach" or "detach", by the
 * reason, which is put in front of "tach": "at" or "de".
 */
static void only_kernel32(struct odd *odd)
{
    const uint32_t size = is_wide() ? 8 : 4, standard_output = (uint32_t)-11;
    struct pebuild_import imports[] = {
        {.module = "KERNEL32.dll", .names = {"ExitProcess", "GetStdHandle", "WriteFile"}}};
    odd_begin(odd, PEBUILD_EXE);
    pebuild_imports(odd->b, imports, 1);
    uint32_t iat = imports[0].iat_rva, text = WORD + 0x10, entry_text = WORD + 0x20;
    odd_code_begin(&odd->code, pebuild_next_rva(odd->b), 0, iat);
    odd->b->h.address_of_entry_point = odd->code.rva;
    odd_call_import(odd, iat + size, 1, &standard_output);
    write_text(odd, iat + 2 * size, entry_text, 6);
    odd_exit(odd, 0);

    uint32_t rva = odd_here(odd);
    uint8_t narrow[] = {0x83, 0x7c, 0x24, 8, 0,                      /* cmp dword [esp + 8], 0 */
                        0x75, 9,                                     /* jne past the next */
                        0x66, 0xc7, 0x05, 0, 0, 0, 0, 'd', 'e'};     /* mov word [text], "de" */
    uint8_t wide[] = {0x85, 0xd2,                                    /* test edx, edx */
                      0x75, 10,                                      /* jne past the next */
                      0x66, 0xc7, 0x04, 0x25, 0, 0, 0, 0, 'd', 'e'}; /* mov word [text], "de" */
    pebuild_put32(narrow, 10, BASE + text);
    pebuild_put32(wide, 8, BASE + text);
    if (is_wide())
        odd_emit(odd, wide, sizeof(wide));
    else
        odd_emit(odd, narrow, sizeof(narrow));
    odd_call_import(odd, iat + size, 1, &standard_output);
    write_text(odd, iat + 2 * size, text, 7);
    odd_code_return(&odd->code, 0, 12);
    uint8_t *data =
        finish(odd, &(struct directory){.index = INDEX, .callbacks = ARRAY, .array = {rva}});
    memcpy(data + text - DATA, "attach\n", 7);
    memcpy(data + entry_text - DATA, "entry\n", 6);
}

/*
 * Returns `value` with every register destroyed but esi, and the stack pointer off by 0x20 bytes.
 * The return address is kept at WORD.
 */
static void return_destroyed(struct odd *odd, uint32_t value)
{
    uint32_t word = (uint32_t)odd->b->h.image_base + WORD;
    uint8_t narrow[] = {0x8f, 0x05, 0,    0,    0,    0,      /* pop [WORD] */
                        0xb8, 0,    0,    0,    0,            /* mov eax, value */
                        0xbb, 0xef, 0xbe, 0xad, 0xde,         /* mov ebx, 0xdeadbeef */
                        0x89, 0xd9,                           /* mov ecx, ebx */
                        0x89, 0xda,                           /* mov edx, ebx */
                        0x89, 0xdf,                           /* mov edi, ebx */
                        0x89, 0xdd,                           /* mov ebp, ebx */
                        0x83, 0xc4, 0x20,                     /* add esp, 0x20 */
                        0xfd,                                 /* std */
                        0xff, 0x25, 0,    0,    0,    0};     /* jmp [WORD] */
    uint8_t wide[] = {0x8f, 0x04, 0x25, 0,    0,    0,    0,  /* pop [WORD] */
                      0xb8, 0,    0,    0,    0,              /* mov eax, value */
                      0xbb, 0xef, 0xbe, 0xad, 0xde,           /* mov ebx, 0xdeadbeef */
                      0x89, 0xd9, 0x89, 0xda,                 /* mov ecx, ebx; mov edx, ebx */
                      0x89, 0xdf, 0x89, 0xde,                 /* mov edi, ebx; mov esi, ebx */
                      0x89, 0xdd,                             /* mov ebp, ebx */
                      0x49, 0x89, 0xd8, 0x49, 0x89, 0xd9,     /* mov r8, rbx; mov r9, rbx */
                      0x49, 0x89, 0xda, 0x49, 0x89, 0xdb,     /* mov r10, rbx; mov r11, rbx */
                      0x49, 0x89, 0xdc, 0x49, 0x89, 0xdd,     /* mov r12, rbx; mov r13, rbx */
                      0x49, 0x89, 0xde, 0x49, 0x89, 0xdf,     /* mov r14, rbx; mov r15, rbx */
                      0x48, 0x83, 0xc4, 0x20,                 /* add rsp, 0x20 */
                      0xfd,                                   /* std */
                      0xff, 0x24, 0x25, 0,    0,    0,    0}; /* jmp [WORD] */
    pebuild_put32(narrow, 2, word);
    pebuild_put32(narrow, 7, value);
    pebuild_put32(narrow, sizeof(narrow) - 4, word);
    pebuild_put32(wide, 3, word);
    pebuild_put32(wide, 8, value);
    pebuild_put32(wide, sizeof(wide) - 4, word);
    if (is_wide())
        odd_emit(odd, wide, sizeof(wide));
    else
        odd_emit(odd, narrow, sizeof(narrow));
}

static void destroying_dll(struct odd *odd)
{
    static const struct pebuild_export exports[] = {
        {.name = "anything", .ordinal = 1, .rva = CODE}};
    odd_program(odd, PEBUILD_DLL);
    odd_print(odd, "DLL entry point");
    return_destroyed(odd, 1);
    uint32_t rva = odd_here(odd);
    odd_print(odd, "DLL callback");
    return_destroyed(odd, 0);
    finish_one(odd, rva);
    pebuild_exports(odd->b, "wild.dll", 1, exports, 1);
}

static void destroys_registers(struct odd *odd)
{
    struct pebuild_import imports[] = {{.module = "msvcrt.dll", .names = {"printf"}},
                                       {.module = "KERNEL32.dll", .names = {"ExitProcess"}},
                                       {.module = "wild.dll", .names = {"anything"}}};
    odd_dll(odd, "wild.dll", destroying_dll);
    odd_program_with(odd, PEBUILD_EXE, imports, 3);
    odd_print(odd, "entry point");
    return_destroyed(odd, 9);
    uint32_t rva = odd_here(odd);
    odd_print(odd, "callback");
    return_destroyed(odd, 0);
    finish_one(odd, rva);
}

/* ---- the directory's own place --------------------------------------------------------------- */

static void directory_outside(struct odd *odd)
{
    entry(odd);
    finish_one(odd, callback(odd, "callback"));
    odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_TLS].rva = 0x3ff8;
}

/* The directory's size plays no part. */
static void directory_of_size_zero(struct odd *odd)
{
    entry(odd);
    finish_one(odd, callback(odd, "callback"));
    odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_TLS].size = 0;
}

const struct odd_row odd_rows[] = {
    {.name = "before-entry",
     .shows = "tls-01",
     .build = before_entry,
     .formats = ODD_BOTH,
     .output = "callback\nentry point"},
    {.name = "before-entry-wide",
     .shows = "tls-02",
     .build = before_entry,
     .formats = ODD_64,
     .output = "callback\nentry point"},
    {.name = "no-entry-point",
     .shows = "",
     .build = no_entry_point,
     .formats = ODD_BOTH,
     .output = "callback",
     .exit_code = 7},
    {.name = "imported",
     .shows = "tls-03",
     .build = imported,
     .formats = ODD_BOTH,
     .output = "MZ\nentry point"},
    {.name = "appended",
     .shows = "tls-04",
     .build = appended,
     .formats = ODD_BOTH,
     .output = "first\nappended\nentry point"},
    {.name = "raises",
     .shows = "tls-05",
     .build = raises,
     .formats = ODD_BOTH,
     .output = "first\nentry point"},
    {.name = "no-array",
     .shows = "tls-05",
     .build = no_array,
     .formats = ODD_BOTH,
     .output = "entry point"},
    {.name = "callback-nowhere",
     .shows = "tls-05",
     .build = outside_callback,
     .formats = ODD_BOTH,
     .output = "entry point"},
    {.name = "index-in-code",
     .shows = "tls-06",
     .build = index_in_code,
     .formats = ODD_BOTH,
     .output = "index 0 is written"},
    {.name = "index-in-header",
     .shows = "tls-06",
     .build = index_in_header,
     .formats = ODD_BOTH,
     .output = "index 0 is written"},
    {.name = "two-modules",
     .shows = "tls-06",
     .build = two_modules,
     .formats = ODD_BOTH,
     .output = "the DLL has index 1\nthe program has index 0\nthe DLL has index 1"},
    {.name = "index-ends-imports",
     .shows = "",
     .build = index_ends_imports,
     .formats = ODD_BOTH,
     .output = "without the third DLL",
     .run_on = PE_WINDOWS_7 | PE_WINDOWS_10},
    {.name = "index-after-imports",
     .shows = "",
     .build = index_ends_imports,
     .formats = ODD_BOTH,
     .error = "absent.dll",
     .run_on = PE_WINDOWS_XP},
    {.name = "exits",
     .shows = "tls-07",
     .build = exits,
     .formats = ODD_BOTH,
     .output = "callback",
     .exit_code = 5},
    {.name = "exits-without-entry",
     .shows = "tls-08",
     .build = exits_without_entry,
     .formats = ODD_BOTH,
     .output = "callback",
     .exit_code = 5},
    {.name = "entry-far-outside",
     .shows = "tls-08 tls-09",
     .build = entry_far_outside,
     .formats = ODD_BOTH,
     .output = "callback",
     .exit_code = 5},
    {.name = "makes-entry",
     .shows = "tls-09",
     .build = makes_entry,
     .formats = ODD_BOTH,
     .output = "allocated\nentry point"},
    {.name = "relocated",
     .shows = "tls-10",
     .build = relocated,
     .formats = ODD_BOTH,
     .map = "base 10000; 0 1000 R; 1000 1000 WC; 2000 1000 ER; 3000 1000 WC; 4000 1000 R",
     .output = "callback\nindex 0"},
    {.name = "only-kernel32",
     .shows = "tls-11",
     .build = only_kernel32,
     .formats = ODD_BOTH,
     .output = "entry\ndetach",
     .run_on = PE_WINDOWS_XP | PE_WINDOWS_7},
    {.name = "only-kernel32-10",
     .shows = "",
     .build = only_kernel32,
     .formats = ODD_BOTH,
     .output = "attach\nentry\ndetach",
     .run_on = PE_WINDOWS_10},
    {.name = "destroys-registers",
     .shows = "tls-12",
     .build = destroys_registers,
     .formats = ODD_BOTH,
     .output =
         "DLL callback\nDLL entry point\ncallback\nentry point\nDLL callback\nDLL entry point",
     .exit_code = 9},
    {.name = "directory-outside",
     .shows = "",
     .build = directory_outside,
     .formats = ODD_BOTH,
     .refused = {"tls.inside", "tls.inside", "tls.inside"},
     .alone = true},
    {.name = "directory-of-size-0",
     .shows = "",
     .build = directory_of_size_zero,
     .formats = ODD_BOTH,
     .output = "callback\nentry point"},
    {0},
};
