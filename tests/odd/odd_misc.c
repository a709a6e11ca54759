/*
 * Odd images: everything else. Versions, subsystems, files that are something else as well, damaged
 * signatures and debug information, programs that are started by programs.
 *
 * Facts: behaviours, Miscellaneous. Structures: PE specification (debug directory, attribute
 * certificates, resources, CLR header), winbase.h (STARTUPINFO, PROCESS_INFORMATION). Every program
 * has its data at DATA and lies at its base, so code may use plain addresses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/odd/odd.h"

#define EMIT(odd, ...) \
    odd_emit(odd, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

enum {
    BASE = 0x400000,
    DATA = 0x1000,       /* the first PE section */
    WORD = DATA + 0x3f0, /* what a program has found out */
    DATA_SIZE = 0x400,
    MAX_IMPORTS = 4,
};

/* The four bytes of an address as operands have them. */
#define ADDRESS(rva) \
    (uint8_t)(BASE + (rva)), (uint8_t)((BASE + (rva)) >> 8), (uint8_t)((BASE + (rva)) >> 16), 0

static uint8_t *data_of(const struct odd *odd, uint32_t rva)
{
    return odd->b->sections[0].data + (rva - DATA);
}

static void put_text(const struct odd *odd, uint32_t rva, const char *text)
{
    memcpy(data_of(odd, rva), text, strlen(text) + 1);
}

/* The IAT slot of the i-th name of an import. */
static uint32_t slot(const struct odd *odd, const struct pebuild_import *import, uint32_t i)
{
    return import->iat_rva + i * (odd->code.wide ? 8 : 4);
}

/*
 * A program with DATA_SIZE bytes at DATA, zero so far. `imports`: printf and ExitProcess alone when
 * NULL. The subsystem version is one that XP takes, too.
 */
static void begin(struct odd *odd, struct pebuild_import *imports, uint32_t count)
{
    static const uint8_t zeroes[DATA_SIZE];
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.major_subsystem_version = 5;
    pebuild_section(odd->b, ".data", PEBUILD_DATA, zeroes, sizeof(zeroes), 0);
    if (imports)
        odd_program_with(odd, PEBUILD_EXE, imports, count);
    else
        odd_program(odd, PEBUILD_EXE);
}

#define MSVCRT(...)                                                  \
    {                                                                \
        .module = "msvcrt.dll", .names = { "printf", ##__VA_ARGS__ } \
    }
#define KERNEL32(...)                                                       \
    {                                                                       \
        .module = "KERNEL32.dll", .names = { "ExitProcess", ##__VA_ARGS__ } \
    }

static void plain(struct odd *odd, const char *text)
{
    begin(odd, NULL, 0);
    odd_print(odd, text);
    odd_exit(odd, 0);
}

/* ---- the system's version ---------------------------------------------------------------------
 */

enum { VERSION = 7 | 8 << 8 | 1234 << 16 /* 7.8, build 1234, the platform NT's */ };

/* Prints which of major, minor and build of the OSVERSIONINFO at DATA are as said. */
static void print_version(struct odd *odd, uint32_t major, uint32_t minor, uint32_t build)
{
    const uint32_t fields[] = {major, minor, build};
    static const char *const names[] = {"major", "minor", "build"};
    for (uint32_t i = 0; i < 3; i++) {
        char yes[64], no[64];
        snprintf(yes, sizeof(yes), "%s %u", names[i], (unsigned)fields[i]);
        snprintf(no, sizeof(no), "another %s", names[i]);
        odd_print_if32(odd, DATA + 4 + i * 4, fields[i], yes, no);
    }
}

static void version_value(struct odd *odd)
{
    enum { OSVERSIONINFOA_SIZE = 148 };
    struct pebuild_import imports[] = {MSVCRT(), KERNEL32("GetVersion", "GetVersionExA")};
    begin(odd, imports, 2);
    odd->b->h.win32_version_value = VERSION;
    odd_call_import(odd, slot(odd, &imports[1], 1), 0, NULL);
    if (odd->code.wide)
        EMIT(odd, 0x89, 0x04, 0x25, ADDRESS(WORD)); /* mov [WORD], eax */
    else
        EMIT(odd, 0xa3, ADDRESS(WORD));
    odd_print_if32(odd, WORD, VERSION, "GetVersion gives the field", "GetVersion gives another");
    odd_store32(odd, DATA, OSVERSIONINFOA_SIZE);
    odd_call_import(odd, slot(odd, &imports[1], 2), 1, (const uint32_t[]){BASE + DATA});
    print_version(odd, 7, 8, 1234);
    odd_exit(odd, 0);
}

/* Without the field: what each version says of itself, to those that ask without being lied to. */
static void own_version(struct odd *odd, uint32_t major, uint32_t minor, uint32_t build)
{
    enum { OSVERSIONINFOW_SIZE = 276 };
    struct pebuild_import imports[] = {
        MSVCRT(), KERNEL32(), {.module = "ntdll.dll", .names = {"RtlGetVersion"}}};
    begin(odd, imports, 3);
    odd_store32(odd, DATA, OSVERSIONINFOW_SIZE);
    odd_call_import(odd, slot(odd, &imports[2], 0), 1, (const uint32_t[]){BASE + DATA});
    print_version(odd, major, minor, build);
    odd_exit(odd, 0);
}

static void version_xp(struct odd *odd)
{
    if (sizeof(void *) == 8)
        own_version(odd, 5, 2, 3790);
    else
        own_version(odd, 5, 1, 2600);
}

static void version_7(struct odd *odd)
{
    own_version(odd, 6, 1, 7601);
}

static void version_10(struct odd *odd)
{
    own_version(odd, 10, 0, 19045);
}

/* ---- subsystems -------------------------------------------------------------------------------
 */

static void subsystem_0(struct odd *odd)
{
    plain(odd, "a program of no subsystem");
    odd->b->h.subsystem = 0;
}

static void subsystem_native(struct odd *odd)
{
    plain(odd, "a program of the kernel");
    odd->b->h.subsystem = IMAGE_SUBSYSTEM_NATIVE;
}

/* Who has a console gets no second one. */
static void print_console(struct odd *odd)
{
    struct pebuild_import imports[] = {MSVCRT(), KERNEL32("AllocConsole")};
    begin(odd, imports, 2);
    odd_call_import(odd, slot(odd, &imports[1], 1), 0, NULL);
    if (odd->code.wide)
        EMIT(odd, 0x89, 0x04, 0x25, ADDRESS(WORD)); /* mov [WORD], eax */
    else
        EMIT(odd, 0xa3, ADDRESS(WORD));
    odd_print_if32(odd, WORD, 0, "it has a console", "it has no console");
    odd_exit(odd, 0);
}

static void subsystem_gui(struct odd *odd)
{
    print_console(odd);
    odd->b->h.subsystem = IMAGE_SUBSYSTEM_WINDOWS_GUI;
}

/* ---- segment selectors ------------------------------------------------------------------------
 */

static void code_selector(struct odd *odd)
{
    begin(odd, NULL, 0);
    EMIT(odd, 0x31, 0xc0, 0x66, 0x8c, 0xc8); /* xor eax, eax; mov ax, cs */
    EMIT(odd, 0xa3, ADDRESS(WORD));
    odd_print_if32(odd, WORD, 0x23, "the selector of a 64-bit system", "another selector");
    odd_exit(odd, 0);
}

/* ---- signatures and what they cover ------------------------------------------------------------
 */

static void dos_program(struct odd *odd)
{
    plain(odd, "not a DOS program");
    odd_finish(odd);
    memcpy(odd->bytes, "ZM", 2);
}

static void nt_signature(struct odd *odd)
{
    plain(odd, "not a DOS program");
    odd_finish(odd);
    odd->bytes[odd_nt(odd) + 1] = 'X';
}

/* Appends `size` bytes of 0xCC to the file and calls them the attribute certificates. */
static void put_signature(struct odd *odd, uint32_t size)
{
    uint64_t at = odd->size;
    odd_resize(odd, at + size);
    memset(odd->bytes + at, 0xcc, size);
    pebuild_put32(odd->bytes, odd_directory(odd, IMAGE_DIRECTORY_ENTRY_SECURITY), (uint32_t)at);
    pebuild_put32(odd->bytes, odd_directory(odd, IMAGE_DIRECTORY_ENTRY_SECURITY) + 4, size);
}

static void wrong_signature(struct odd *odd)
{
    plain(odd, "nobody reads the signature");
    odd_finish(odd);
    put_signature(odd, 0x100);
}

/* A CodeView entry that names a file that is not there, and one of an unknown type. */
static void absent_symbols(struct odd *odd)
{
    enum { CODEVIEW = DATA + 0x80, TYPE_CODEVIEW = 2 };
    plain(odd, "nobody looks for the symbols");
    uint8_t *entries = data_of(odd, DATA);
    uint32_t offset = odd->b->sections[0].data_offset;
    put_text(odd, CODEVIEW, "RSDS");
    memset(data_of(odd, CODEVIEW + 4), 0xcc, 20); /* GUID and age */
    put_text(odd, CODEVIEW + 24, "C:\\absent\\absent.pdb");
    pebuild_put32(entries, 12, TYPE_CODEVIEW);
    pebuild_put32(entries, 16, 24 + 21);
    pebuild_put32(entries, 20, CODEVIEW);
    pebuild_put32(entries, 24, offset + (CODEVIEW - DATA));
    pebuild_put32(entries, 28 + 12, 0x777);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_DEBUG, DATA, 56);
}

/* ---- managed images ---------------------------------------------------------------------------
 */

static const char mscoree[] = "mscoree.dll";

/* In place of the managed runtime's DLL: its entry point says that it was entered. */
static void build_mscoree(struct odd *odd)
{
    odd_program(odd, PEBUILD_DLL);
    uint32_t corexemain = odd_here(odd);
    odd_print(odd, "the runtime is entered");
    odd_exit(odd, 0);
    uint32_t other = odd_here(odd);
    odd_print(odd, "the runtime is called");
    odd_return(odd, 0);
    odd->b->h.address_of_entry_point = 0;
    odd->b->h.major_subsystem_version = 5;
    const struct pebuild_export exports[] = {
        {.name = "_CorExeMain", .ordinal = 1, .rva = corexemain},
        {.name = "GetCORVersion", .ordinal = 2, .rva = other}};
    odd_text(odd);
    pebuild_exports(odd->b, mscoree, 1, exports, 2);
}

/* All that a managed image has of native code: a jump through the one import that matters. */
static void managed(struct odd *odd)
{
    struct pebuild_import imports[] = {
        MSVCRT(), KERNEL32(), {.module = mscoree, .names = {"_CorExeMain"}}};
    odd_dll(odd, mscoree, build_mscoree);
    begin(odd, imports, 3);
    EMIT(odd, 0xff, 0x25, ADDRESS(slot(odd, &imports[2], 0))); /* jmp [_CorExeMain] */
    uint8_t *clr = data_of(odd, DATA);
    pebuild_put32(clr, 0, 0x48);        /* cb */
    pebuild_put32(clr, 4, 5 << 16 | 2); /* runtime version 2.5 */
    pebuild_put32(clr, 8, DATA + 0x80); /* metadata */
    pebuild_put32(clr, 12, 0x40);
    pebuild_put32(clr, 16, 1); /* IL only */
    put_text(odd, DATA + 0x80, "BSJB");
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR, DATA, 0x48);
}

static void managed_two_directories(struct odd *odd)
{
    managed(odd);
    odd->b->h.number_of_rva_and_sizes = 2;
}

/* No managed image without the directory: native code of it comes first. */
static void managed_entry_only(struct odd *odd)
{
    struct pebuild_import imports[] = {
        MSVCRT(), KERNEL32(), {.module = mscoree, .names = {"_CorExeMain"}}};
    odd_dll(odd, mscoree, build_mscoree);
    begin(odd, imports, 3);
    odd_print(odd, "native code is entered");
    odd_call_import(odd, slot(odd, &imports[2], 0), 0, NULL);
}

static void calls_runtime(struct odd *odd)
{
    struct pebuild_import imports[] = {
        MSVCRT(), KERNEL32(), {.module = mscoree, .names = {"GetCORVersion"}}};
    odd_dll(odd, mscoree, build_mscoree);
    begin(odd, imports, 3);
    odd_call_import(odd, slot(odd, &imports[2], 0), 0, NULL);
    odd_print(odd, "native code goes on");
    odd_exit(odd, 0);
}

/* ---- programs that start programs --------------------------------------------------------------
 */

static void build_child(struct odd *odd)
{
    plain(odd, "the child runs");
}

/*
 * A flat child. Its import descriptors are the last bytes of its file; the one that ends them is
 * what the memory behind the file's end holds.
 */
static void build_flat_child(struct odd *odd)
{
    enum { DESCRIPTORS = 2 * 20 };
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = odd->b->h.file_alignment = 0x20;
    odd->b->h.major_subsystem_version = 5;
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "the flat child runs");
    odd_exit(odd, 0);
    odd_finish(odd);
    uint64_t directory = odd_directory(odd, IMAGE_DIRECTORY_ENTRY_IMPORT), end = odd->size;
    uint32_t from;
    memcpy(&from, odd->bytes + directory, sizeof(from));
    odd_resize(odd, end + DESCRIPTORS);
    memcpy(odd->bytes + end, odd->bytes + from, DESCRIPTORS);
    pebuild_put32(odd->bytes, directory, (uint32_t)end);
    pebuild_put32(odd->bytes, directory + 4, DESCRIPTORS);
    pebuild_put32(odd->bytes, odd_optional(odd) + 56, (uint32_t)end + 0x1000); /* SizeOfImage */
}

/* CreateProcessA(NULL, DATA's text, ...), a wait for the child, a word. */
static void start_child(struct odd *odd, const char *command_line)
{
    enum { STARTUP = DATA + 0x100, PROCESS = DATA + 0x200 };
    struct pebuild_import imports[] = {MSVCRT(), KERNEL32("CreateProcessA", "WaitForSingleObject")};
    begin(odd, imports, 2);
    put_text(odd, DATA, command_line);
    pebuild_put32(data_of(odd, STARTUP), 0, odd->code.wide ? 104 : 68);
    odd_call_import(
        odd, slot(odd, &imports[1], 1), 10,
        (const uint32_t[]){0, BASE + DATA, 0, 0, 1, 0, 0, 0, BASE + STARTUP, BASE + PROCESS});
    uint32_t wait = slot(odd, &imports[1], 2);
    if (odd->code.wide) {
        EMIT(odd, 0x48, 0x83, 0xe4, 0xf0);                   /* and rsp, -16 */
        EMIT(odd, 0x48, 0x83, 0xec, 0x20);                   /* sub rsp, 32 */
        EMIT(odd, 0x48, 0x8b, 0x0c, 0x25, ADDRESS(PROCESS)); /* mov rcx, [PROCESS] */
        EMIT(odd, 0xba, 0xff, 0xff, 0xff, 0xff);             /* mov edx, INFINITE */
        EMIT(odd, 0xff, 0x14, 0x25, ADDRESS(wait));          /* call [wait] */
    } else {
        EMIT(odd, 0x6a, 0xff);                   /* push INFINITE */
        EMIT(odd, 0xff, 0x35, ADDRESS(PROCESS)); /* push dword [PROCESS] */
        EMIT(odd, 0xff, 0x15, ADDRESS(wait));    /* call [wait] */
    }
    odd_print(odd, "the child has ended");
    odd_exit(odd, 0);
}

static void start_by_name(struct odd *odd)
{
    odd_dll(odd, "plain-child.exe", build_child);
    start_child(odd, "plain-child");
}

static void start_flat(struct odd *odd)
{
    odd_dll(odd, "flat-child.exe", build_flat_child);
    start_child(odd, "flat-child.exe");
}

/* ---- files that are something else as well -----------------------------------------------------
 */

/* The file behind the headers of a flat image is in memory as well: the program shows it. */
static void flat_with_file(struct odd *odd)
{
    static const char script[] = "#!/bin/sh\nexec cat <<END\nany file\nEND\n";
    struct pebuild_import imports[] = {MSVCRT("puts"), KERNEL32()};
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.section_alignment = odd->b->h.file_alignment = 0x20;
    odd->b->h.size_of_headers = 0x1000;
    odd->b->h.major_subsystem_version = 5;
    odd_program_with(odd, PEBUILD_EXE, imports, 2);
    odd_call_import(odd, slot(odd, &imports[0], 1), 1, (const uint32_t[]){BASE + 0x600});
    odd_exit(odd, 0);
    odd_finish(odd);
    memcpy(odd->bytes + 0x600, script, sizeof(script));
}

/* Four readers, one file: Windows goes by its begin, PDF readers look for theirs in the first
 * kilobyte, browsers skip what they do not know, ZIP readers go by the end. */
static void polyglot(struct odd *odd)
{
    static const char pdf[] = "%PDF-1.1\n%%EOF\n<html><body>a page</body><!--";
    static const uint8_t zip_end[22] = {'P', 'K', 5, 6};
    plain(odd, "it is a program first");
    odd_finish(odd);
    memcpy(odd->bytes + 0x40, pdf, sizeof(pdf));
    odd_resize(odd, odd->size + sizeof(zip_end));
    memcpy(odd->bytes + odd->size - sizeof(zip_end), zip_end, sizeof(zip_end));
}

/* ---- all at once -------------------------------------------------------------------------------
 */

enum {
    CONFIG = DATA, /* load configuration; on x64 UNWIND_INFO and function table behind */
    SAFE_TABLE = DATA + 0xc0,
    FUNCTIONS = DATA + 0xd0,
    UNWIND = DATA + 0xe0,
    RESOURCES = DATA + 0x100, /* the tree, of one manifest */
    MANIFEST = DATA + 0x180,
    RT_MANIFEST = 24,
};

/* Type, name and language with one entry each, then the data's. */
static void put_resource(struct odd *odd, const char *manifest)
{
    static const struct {
        uint32_t at, id, next;
    } levels[] = {{0, RT_MANIFEST, 0x80000018u}, {0x18, 1, 0x80000030u}, {0x30, 0x409, 0x48}};
    uint8_t *tree = data_of(odd, RESOURCES);
    for (uint32_t i = 0; i < 3; i++) {
        pebuild_put16(tree, levels[i].at + 14, 1);
        pebuild_put32(tree, levels[i].at + 16, levels[i].id);
        pebuild_put32(tree, levels[i].at + 20, levels[i].next);
    }
    pebuild_put32(tree, 0x48, MANIFEST);
    pebuild_put32(tree, 0x4c, (uint32_t)strlen(manifest));
    put_text(odd, MANIFEST, manifest);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_RESOURCE, RESOURCES, 0x58);
}

/* The handler of the fault that comes last: by table in either word size. */
static void put_handler(struct odd *odd, uint32_t begins, uint32_t ends, uint32_t handler)
{
    uint8_t *config = data_of(odd, CONFIG);
    if (odd->code.wide) {
        uint8_t *function = data_of(odd, FUNCTIONS);
        pebuild_put32(function, 0, begins);
        pebuild_put32(function, 4, ends);
        pebuild_put32(function, 8, UNWIND);
        data_of(odd, UNWIND)[0] = 1 | 1 << 3; /* version 1, an exception handler */
        pebuild_put32(data_of(odd, UNWIND), 4, handler);
        pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_EXCEPTION, FUNCTIONS, 12);
    } else {
        pebuild_put32(config, 0x40, BASE + SAFE_TABLE);
        pebuild_put32(config, 0x44, 1);
        pebuild_put32(data_of(odd, SAFE_TABLE), 0, handler);
    }
    pebuild_put32(config, 0, odd->code.wide ? 0x70 : 0x48);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, CONFIG,
                      odd->code.wide ? 0x70 : 0x40);
}

/* FindResourceA(NULL, 1, RT_MANIFEST) */
static void look_for_manifest(struct odd *odd, uint32_t find_resource)
{
    odd_call_import(odd, find_resource, 3, (const uint32_t[]){0, 1, RT_MANIFEST});
    if (odd->code.wide)
        EMIT(odd, 0x89, 0x04, 0x25, ADDRESS(WORD)); /* mov [WORD], eax */
    else
        EMIT(odd, 0xa3, ADDRESS(WORD));
    odd_print_if32(odd, WORD, 0, "no manifest", "the manifest is found");
}

static void fault_with_frame(struct odd *odd, uint32_t handler)
{
    if (!odd->code.wide) {
        EMIT(odd, 0x68, ADDRESS(handler));       /* push handler */
        EMIT(odd, 0x64, 0xff, 0x35, 0, 0, 0, 0); /* push dword fs:[0] */
        EMIT(odd, 0x64, 0x89, 0x25, 0, 0, 0, 0); /* mov fs:[0], esp */
    }
    EMIT(odd, 0x31, 0xc0, 0x89, 0x00); /* xor eax, eax; mov [eax], eax */
}

/* Silent at the end of the process. */
static uint32_t tls_callback(struct odd *odd)
{
    uint32_t rva = odd_here(odd);
    if (odd->code.wide)
        EMIT(odd, 0x83, 0xfa, 1, 0x74, 1, 0xc3); /* cmp edx, 1; je attach; ret; attach: */
    else
        EMIT(odd, 0x83, 0x7c, 0x24, 8, 1, 0x74, 3, 0xc2, 12, 0); /* ... [esp + 8] ... ret 12 */
    odd_print(odd, "TLS callback");
    odd_code_return(&odd->code, 1, 12);
    return rva;
}

static void everything(struct odd *odd)
{
    struct pebuild_import imports[] = {
        MSVCRT(),
        KERNEL32("FindResourceA"),
        {.module = "everything.exe", .names = {"greet", "forwarded"}}};
    begin(odd, imports, 3);
    put_resource(odd, "<assembly xmlns='urn:schemas-microsoft-com:asm.v1' manifestVersion='1.0'/>");
    uint32_t callback = tls_callback(odd);
    uint32_t greet = odd_here(odd);
    odd_print(odd, "own export");
    odd_code_return(&odd->code, 0, 0);
    uint32_t handler = odd_here(odd);
    odd_print(odd, "handler by table");
    odd_exit(odd, 0);
    uint32_t begins = odd_here(odd);
    odd->b->h.address_of_entry_point = begins;
    odd_call_import(odd, slot(odd, &imports[2], 0), 0, NULL);
    odd->code.printf_iat = slot(odd, &imports[2], 1);
    odd_print(odd, "own forwarder");
    look_for_manifest(odd, slot(odd, &imports[1], 1));
    fault_with_frame(odd, handler);
    put_handler(odd, begins, odd_here(odd), handler);
    odd_text(odd);
    struct pebuild_tls tls = {
        .template_data = "tls", .template_size = 4, .callbacks = &callback, .callback_count = 1};
    pebuild_tls(odd->b, &tls);
    const struct pebuild_export exports[] = {
        {.name = "greet", .ordinal = 1, .rva = greet},
        {.name = "forwarded", .ordinal = 2, .forwarder = "msvcrt.printf"}};
    pebuild_exports(odd->b, "everything.exe", 1, exports, 2);
    pebuild_relocs(odd->b);
    odd_finish(odd);
    put_signature(odd, 0x80);
}

const char odd_area[] = "misc";
const struct odd_row odd_rows[] = {
    {.name = "version-value",
     .shows = "misc-01",
     .build = version_value,
     .formats = ODD_BOTH,
     .output = "GetVersion gives the field\nmajor 7\nminor 8\nbuild 1234"},
    {.name = "version-of-xp",
     .shows = "",
     .build = version_xp,
     .formats = ODD_32,
     .output = "major 5\nminor 1\nbuild 2600",
     .run_on = PE_WINDOWS_XP},
    {.name = "version-of-xp-x64",
     .shows = "",
     .build = version_xp,
     .formats = ODD_64,
     .output = "major 5\nminor 2\nbuild 3790",
     .run_on = PE_WINDOWS_XP},
    {.name = "version-of-7",
     .shows = "",
     .build = version_7,
     .formats = ODD_BOTH,
     .output = "major 6\nminor 1\nbuild 7601",
     .run_on = PE_WINDOWS_7},
    {.name = "version-of-10",
     .shows = "",
     .build = version_10,
     .formats = ODD_BOTH,
     .output = "major 10\nminor 0\nbuild 19045",
     .run_on = PE_WINDOWS_10},
    {.name = "everything",
     .shows = "misc-02",
     .build = everything,
     .formats = ODD_BOTH,
     .output = "TLS callback\nown export\nown forwarder\nthe manifest is found\nhandler by table"},
    {.name = "wrong-signature",
     .shows = "misc-03",
     .build = wrong_signature,
     .formats = ODD_BOTH,
     .output = "nobody reads the signature"},
    {.name = "absent-symbols",
     .shows = "misc-04",
     .build = absent_symbols,
     .formats = ODD_BOTH,
     .output = "nobody looks for the symbols"},
    {.name = "subsystem-0",
     .shows = "misc-05",
     .build = subsystem_0,
     .formats = ODD_BOTH,
     .refused = {"exe.subsystem", "exe.subsystem", "exe.subsystem"},
     .alone = true},
    {.name = "code-selector",
     .shows = "misc-06",
     .build = code_selector,
     .formats = ODD_32,
     .output = "the selector of a 64-bit system",
     .run_on = PE_WINDOWS_7 | PE_WINDOWS_10},
    {.name = "subsystem-gui",
     .shows = "misc-07 misc-08",
     .build = subsystem_gui,
     .formats = ODD_BOTH,
     .output = "it has no console"},
    {.name = "subsystem-console",
     .shows = "misc-07",
     .build = print_console,
     .formats = ODD_BOTH,
     .output = "it has a console"},
    {.name = "subsystem-native",
     .shows = "misc-09",
     .build = subsystem_native,
     .formats = ODD_BOTH,
     .refused = {"exe.subsystem", "exe.subsystem", "exe.subsystem"},
     .alone = true},
    {.name = "dos-program",
     .shows = "misc-12",
     .build = dos_program,
     .formats = ODD_BOTH,
     .refused = {"dos.magic", "dos.magic", "dos.magic"}},
    {.name = "nt-signature",
     .shows = "misc-13",
     .build = nt_signature,
     .formats = ODD_BOTH,
     .refused = {"nt.signature", "nt.signature", "nt.signature"}},
    {.name = "managed",
     .shows = "misc-14",
     .build = managed,
     .formats = ODD_32,
     .output = "the runtime is entered"},
    {.name = "managed-two-directories",
     .shows = "misc-15",
     .build = managed_two_directories,
     .formats = ODD_32,
     .output = "the runtime is entered"},
    {.name = "managed-entry-only",
     .shows = "misc-16",
     .build = managed_entry_only,
     .formats = ODD_BOTH,
     .output = "native code is entered\nthe runtime is entered"},
    {.name = "calls-runtime",
     .shows = "misc-17",
     .build = calls_runtime,
     .formats = ODD_BOTH,
     .output = "the runtime is called\nnative code goes on"},
    {.name = "start-by-name",
     .shows = "misc-18",
     .build = start_by_name,
     .formats = ODD_BOTH,
     .output = "the child runs\nthe child has ended"},
    {.name = "start-flat",
     .shows = "misc-19",
     .build = start_flat,
     .formats = ODD_BOTH,
     .output = "the flat child runs\nthe child has ended"},
    {.name = "flat-with-file",
     .shows = "misc-20",
     .build = flat_with_file,
     .formats = ODD_BOTH,
     .output = "#!/bin/sh\nexec cat <<END\nany file\nEND\n"},
    {.name = "polyglot",
     .shows = "misc-21",
     .build = polyglot,
     .formats = ODD_BOTH,
     .output = "it is a program first"},
    {0},
};
