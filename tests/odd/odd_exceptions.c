/*
 * Odd images: exceptions. Handlers in tables that the program changes before it needs them,
 * handlers that no table lists, functions without unwind codes, global flags of the load
 * configuration.
 *
 * Facts: behaviours, Exceptions. Layout of the load configuration, of RUNTIME_FUNCTION and
 * UNWIND_INFO: PE specification and "x64 exception handling" of Microsoft. Every program has its
 * data at DATA and lies at its base, so code may use plain addresses.
 */
#include <string.h>

#include "tests/odd/odd.h"

#define EMIT(odd, ...) \
    odd_emit(odd, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

enum {
    BASE = 0x400000,
    DATA = 0x1000,       /* the first PE section */
    TABLE = DATA + 0xc0, /* of safe handlers, of guarded functions */
    WORD = DATA + 0x100, /* what a program has found out */
    DATA_SIZE = 0x200,
};

/* The four bytes of an address as operands have them. */
#define ADDRESS(rva) \
    (uint8_t)(BASE + (rva)), (uint8_t)((BASE + (rva)) >> 8), (uint8_t)((BASE + (rva)) >> 16), 0

static uint8_t *data_of(const struct odd *odd, uint32_t rva)
{
    return odd->b->sections[0].data + (rva - DATA);
}

/* A program with DATA_SIZE bytes at DATA, zero so far, and kernel32's ExitProcess and `import`. The
 * subsystem version is one that XP takes, too. The RVA of the import's slot in the IAT. */
static uint32_t begin(struct odd *odd, const char *import)
{
    static const uint8_t zeroes[DATA_SIZE];
    struct pebuild_import imports[] = {
        {.module = "msvcrt.dll", .names = {"printf"}},
        {.module = "KERNEL32.dll", .names = {"ExitProcess", import}},
    };
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.major_subsystem_version = 5;
    pebuild_section(odd->b, ".data", PEBUILD_DATA, zeroes, sizeof(zeroes), 0);
    odd_program_with(odd, PEBUILD_EXE, imports, 2);
    return imports[1].iat_rva + (odd->code.wide ? 8 : 4);
}

/* What is emitted from now on is where the program begins. */
static void enter_here(struct odd *odd)
{
    odd->b->h.address_of_entry_point = odd_here(odd);
}

/* A function that says `text` and ends the process. */
static uint32_t last_words(struct odd *odd, const char *text, uint8_t exit_code)
{
    uint32_t rva = odd_here(odd);
    odd_print(odd, text);
    odd_exit(odd, exit_code);
    return rva;
}

/* Two bytes long: mov [eax], eax with eax 0. */
static void fault(struct odd *odd)
{
    EMIT(odd, 0x31, 0xc0); /* xor eax, eax */
    EMIT(odd, 0x89, 0x00);
}

/* ---- x64: function tables ---------------------------------------------------------------------
 */

enum { UNW_FLAG_EHANDLER = 1, UNWIND = DATA + 0x10 };

/* One function with a handler, no prologue and no unwind codes. */
static void function_table(struct odd *odd, uint32_t begins, uint32_t ends, uint32_t handler)
{
    uint8_t *entry = data_of(odd, DATA), *unwind = data_of(odd, UNWIND);
    pebuild_put32(entry, 0, begins);
    pebuild_put32(entry, 4, ends);
    pebuild_put32(entry, 8, UNWIND);
    unwind[0] = 1 | UNW_FLAG_EHANDLER << 3; /* version 1 */
    pebuild_put32(unwind, 4, handler);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_EXCEPTION, DATA, 12);
}

static void x64_handler(struct odd *odd, bool push)
{
    begin(odd, NULL);
    uint32_t handler = last_words(odd, "the language handler is called", 0);
    uint32_t begins = odd_here(odd);
    enter_here(odd);
    if (push)
        EMIT(odd, 0x51); /* push rcx */
    fault(odd);
    odd_exit(odd, 1);
    uint32_t ends = odd_here(odd);
    odd_text(odd);
    function_table(odd, begins, ends, handler);
}

static void x64_handler_only(struct odd *odd)
{
    x64_handler(odd, false);
}

/* The push is not in the (missing) unwind codes: the frame is not the one that the table tells. */
static void x64_handler_pushed(struct odd *odd)
{
    x64_handler(odd, true);
}

static void x64_handler_changed(struct odd *odd)
{
    begin(odd, NULL);
    uint32_t first = last_words(odd, "the handler in the file is called", 1);
    uint32_t second = last_words(odd, "the handler that was written is called", 0);
    uint32_t begins = odd_here(odd);
    enter_here(odd);
    odd_store32(odd, UNWIND + 4, second);
    fault(odd);
    uint32_t ends = odd_here(odd);
    odd_text(odd);
    function_table(odd, begins, ends, first);
}

/* ---- i386: frame handlers ---------------------------------------------------------------------
 */

enum { CONFIG_SIZE = 0x48, CONFIG_DIRECTORY_SIZE = 0x40 /* what XP wants for i386 */ };

/* The table of safe handlers, of one entry. */
static void safe_handler(struct odd *odd, uint32_t handler)
{
    uint8_t *config = data_of(odd, DATA);
    pebuild_put32(config, 0, CONFIG_SIZE);
    pebuild_put32(config, 0x40, BASE + TABLE);
    pebuild_put32(config, 0x44, 1);
    pebuild_put32(data_of(odd, TABLE), 0, handler);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, DATA, CONFIG_DIRECTORY_SIZE);
}

static void register_frame(struct odd *odd, uint32_t handler)
{
    EMIT(odd, 0x68, ADDRESS(handler));       /* push handler */
    EMIT(odd, 0x64, 0xff, 0x35, 0, 0, 0, 0); /* push dword fs:[0] */
    EMIT(odd, 0x64, 0x89, 0x25, 0, 0, 0, 0); /* mov fs:[0], esp */
}

static void safe_handler_listed(struct odd *odd)
{
    begin(odd, NULL);
    uint32_t handler = last_words(odd, "the listed handler is called", 0);
    enter_here(odd);
    register_frame(odd, handler);
    fault(odd);
    odd_text(odd);
    safe_handler(odd, handler);
}

static void safe_handler_unlisted(struct odd *odd)
{
    begin(odd, NULL);
    uint32_t handler = last_words(odd, "a handler that is not listed is called", 1);
    enter_here(odd);
    odd_print(odd, "no handler follows");
    register_frame(odd, handler);
    fault(odd);
    odd_text(odd);
    safe_handler(odd, handler + 1);
}

static void safe_handler_written(struct odd *odd)
{
    begin(odd, NULL);
    uint32_t handler = last_words(odd, "the handler listed at run time is called", 0);
    enter_here(odd);
    odd_store32(odd, TABLE, handler);
    register_frame(odd, handler);
    fault(odd);
    odd_text(odd);
    safe_handler(odd, 1);
}

/* The first exception is continued behind fault()'s last instruction, others are passed on. */
static uint32_t vectored_handler(struct odd *odd)
{
    enum { CONTEXT_EIP = 0xb8 };
    uint32_t rva = odd_here(odd);
    EMIT(odd, 0xf0, 0xff, 0x05, ADDRESS(WORD));     /* lock inc dword [WORD] */
    EMIT(odd, 0x83, 0x3d, ADDRESS(WORD), 1);        /* cmp dword [WORD], 1 */
    EMIT(odd, 0x74, 5);                             /* je first */
    EMIT(odd, 0x31, 0xc0, 0xc2, 4, 0);              /* xor eax, eax; ret 4 */
    EMIT(odd, 0x8b, 0x44, 0x24, 4);                 /* first: mov eax, [esp + 4] */
    EMIT(odd, 0x8b, 0x40, 4);                       /* mov eax, [eax + 4] */
    EMIT(odd, 0x83, 0x80, CONTEXT_EIP, 0, 0, 0, 2); /* add dword [eax + Eip], 2 */
    odd_print(odd, "a vectored handler is called");
    EMIT(odd, 0x83, 0xc8, 0xff, 0xc2, 4, 0); /* or eax, -1; ret 4 */
    return rva;
}

static void no_seh(struct odd *odd)
{
    uint32_t add_vectored = begin(odd, "AddVectoredExceptionHandler");
    uint32_t frame = last_words(odd, "a frame handler is called", 1);
    uint32_t vectored = vectored_handler(odd);
    enter_here(odd);
    odd_call_import(odd, add_vectored, 2, (const uint32_t[]){1, BASE + vectored});
    register_frame(odd, frame);
    fault(odd);
    odd_print(odd, "it continues; then no frame handler follows");
    fault(odd);
    odd->b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_NO_SEH;
}

/* ---- the load configuration -------------------------------------------------------------------
 */

/* Takes the process' flags to WORD. */
static void read_global_flags(struct odd *odd)
{
    if (odd->code.wide) {
        EMIT(odd, 0x65, 0x48, 0x8b, 0x04, 0x25, 0x60, 0, 0, 0); /* mov rax, gs:[0x60] */
        EMIT(odd, 0x8b, 0x80, 0xbc, 0, 0, 0);                   /* mov eax, [rax + NtGlobalFlag] */
        EMIT(odd, 0x89, 0x04, 0x25, ADDRESS(WORD));             /* mov [WORD], eax */
    } else {
        EMIT(odd, 0x64, 0xa1, 0x30, 0, 0, 0); /* mov eax, fs:[0x30] */
        EMIT(odd, 0x8b, 0x40, 0x68);          /* mov eax, [eax + NtGlobalFlag] */
        EMIT(odd, 0xa3, ADDRESS(WORD));       /* mov [WORD], eax */
    }
}

static void global_flags(struct odd *odd)
{
    enum { HEAP_CHECKS = 0x70 }; /* those that a debugger's child has */
    begin(odd, NULL);
    uint8_t *config = data_of(odd, DATA);
    pebuild_put32(config, 0, odd->code.wide ? 0x70 : CONFIG_SIZE);
    pebuild_put32(config, 16, HEAP_CHECKS); /* GlobalFlagsSet */
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, DATA,
                      odd->code.wide ? 0x70 : CONFIG_DIRECTORY_SIZE);
    read_global_flags(odd);
    odd_print_if32(odd, WORD, HEAP_CHECKS, "the image's flags are set", "other flags are set");
    odd_exit(odd, 0);
}

/* A table that says twice what no function is. */
static void guard_table(struct odd *odd)
{
    enum { INSTRUMENTED = 0x100, TABLE_PRESENT = 0x400 };
    begin(odd, NULL);
    uint8_t *config = data_of(odd, DATA);
    uint32_t size = odd->code.wide ? 0x94 : 0x5c;
    pebuild_put32(config, 0, size);
    pebuild_put32(config, odd->code.wide ? 128 : 80, BASE + TABLE); /* GuardCFFunctionTable */
    pebuild_put32(config, odd->code.wide ? 136 : 84, 2);            /* ... Count */
    pebuild_put32(config, odd->code.wide ? 144 : 88, INSTRUMENTED | TABLE_PRESENT);
    pebuild_put32(data_of(odd, TABLE), 0, 0x77777777);
    pebuild_put32(data_of(odd, TABLE), 4, 0x77777777);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, DATA, size);
    odd_print(odd, "the table of guarded functions is ignored");
    odd_exit(odd, 0);
}

enum { UNHANDLED = 5 /* STATUS_ACCESS_VIOLATION's low byte */ };

const char odd_area[] = "exceptions";
const struct odd_row odd_rows[] = {
    {.name = "x64-handler-only",
     .shows = "exceptions-01",
     .build = x64_handler_only,
     .formats = ODD_64,
     .output = "the language handler is called"},
    {.name = "x64-handler-pushed",
     .shows = "exceptions-01",
     .build = x64_handler_pushed,
     .formats = ODD_64,
     .output = "the language handler is called"},
    {.name = "x64-handler-changed",
     .shows = "exceptions-02",
     .build = x64_handler_changed,
     .formats = ODD_64,
     .output = "the handler that was written is called"},
    {.name = "no-seh",
     .shows = "exceptions-03",
     .build = no_seh,
     .formats = ODD_32,
     .output = "a vectored handler is called\nit continues; then no frame handler follows",
     .exit_code = UNHANDLED},
    {.name = "safe-handler-listed",
     .shows = "exceptions-04",
     .build = safe_handler_listed,
     .formats = ODD_32,
     .output = "the listed handler is called"},
    {.name = "safe-handler-unlisted",
     .shows = "exceptions-04",
     .build = safe_handler_unlisted,
     .formats = ODD_32,
     .output = "no handler follows",
     .exit_code = UNHANDLED},
    {.name = "safe-handler-written",
     .shows = "exceptions-05",
     .build = safe_handler_written,
     .formats = ODD_32,
     .output = "the handler listed at run time is called"},
    {.name = "global-flags",
     .shows = "exceptions-06",
     .build = global_flags,
     .formats = ODD_32,
     .output = "the image's flags are set"},
    {.name = "global-flags-wide",
     .shows = "exceptions-07",
     .build = global_flags,
     .formats = ODD_64,
     .output = "the image's flags are set"},
    {.name = "guard-table-of-old-image",
     .shows = "exceptions-08",
     .build = guard_table,
     .formats = ODD_BOTH,
     .output = "the table of guarded functions is ignored"},
    {0},
};
