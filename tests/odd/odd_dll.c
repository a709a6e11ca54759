/*
 * Odd DLLs: imported and loaded at run time (facts: behaviours, DLL loading; odd_dll_data.c has the
 * smallest ones and those that are loaded as data).
 *
 * Each row is a program with the DLLs beside it that it loads. They print when they are attached
 * and detached, so that a row's output is the order in which things happened.
 */
#include <string.h>

#include "tests/odd/odd_calls.h"

const char odd_area[] = "dll";

enum {
    PROGRAM_BASE = 0x400000, /* odd_program()'s, where a DLL has to move */
    HIGH_BASE = 0x18000000,  /* of programs that are above their DLL */
    DLL_BASE = 0x10000000,
    FREE_BASE = 0x11000000,
};

/* ---- DLLs ------------------------------------------------------------------------------------ */

/* Exports the code that follows as "f". Sections go in before, so the RVA is remembered. */
static void export_code(struct odd *odd, uint32_t rva)
{
    const struct pebuild_export exports[] = {{.name = "f", .ordinal = 1, .rva = rva}};
    pebuild_exports(odd->b, "odd.dll", 1, exports, 1);
}

/* f() prints its name. */
static uint32_t put_function(struct odd *odd)
{
    uint32_t rva = odd_here(odd);
    odd_print(odd, "f");
    odd_return(odd, 0);
    return rva;
}

/* Attach and detach print; f is exported. */
static void plain(struct odd *odd)
{
    odd_program(odd, PEBUILD_DLL);
    odd_dll_main(odd, "attach", "detach");
    uint32_t f = put_function(odd);
    odd_text(odd);
    export_code(odd, f);
}

/* Its texts are reached through pointers, and its preferred base is the program's. */
static void moved_with(struct odd *odd, uint16_t cleared, bool prints_in_f)
{
    struct odd_calls c;
    odd_begin(odd, PEBUILD_DLL);
    odd->b->h.image_base = PROGRAM_BASE;
    odd_calls_begin(&c, odd, PEBUILD_DLL, NULL, NULL, NULL);
    static const char *const texts[] = {"detach, moved\n", "attach, moved\n"};
    for (uint8_t reason = 2; reason-- > 0;) {
        uint32_t mark = odd_reason(odd, reason);
        ODD_CALL(&c, "printf", 0, ODD_IN(odd_calls_pointer(&c, odd_calls_text(&c, texts[reason]))));
        odd_return(odd, 1);
        odd_reason_end(odd, mark);
    }
    odd_return(odd, 1);
    uint32_t f = odd_here(odd);
    if (prints_in_f)
        ODD_CALL(&c, "printf", 0, ODD_IN(odd_calls_pointer(&c, odd_calls_text(&c, "f, moved\n"))));
    odd_return(odd, 0);
    odd_calls_end(&c);
    export_code(odd, f);
    pebuild_relocs(odd->b);
    odd->b->h.characteristics &= (uint16_t)~cleared;
}

static void moved(struct odd *odd)
{
    moved_with(odd, 0, false);
}

/* Not a DLL by its characteristics. */
static void moved_program(struct odd *odd)
{
    moved_with(odd, IMAGE_FILE_DLL, true);
}

static void without_exports(struct odd *odd)
{
    odd_program(odd, PEBUILD_DLL);
    odd_dll_main(odd, "attach", "detach");
}

static void no_entry(struct odd *odd)
{
    plain(odd);
    odd->b->h.address_of_entry_point = 0;
}

static void native_subsystem(struct odd *odd)
{
    plain(odd);
    odd->b->h.subsystem = IMAGE_SUBSYSTEM_NATIVE;
}

static void unknown_subsystem(struct odd *odd)
{
    plain(odd);
    odd->b->h.subsystem = 0xffff;
}

/* What nobody reads of a DLL is all ones; DllCharacteristics might ask for a signature. */
static void all_ones(struct odd *odd)
{
    static const struct {
        uint8_t offset, size; /* from the PE signature */
    } both[] = {
        {8, 12},       /* TimeDateStamp, symbol table */
        {24 + 2, 14},  /* linker version, sizes of code and data */
        {24 + 20, 4},  /* BaseOfCode */
        {24 + 40, 12}, /* versions of the system, the image, the subsystem */
        {24 + 52, 4},  /* Win32VersionValue */
        {24 + 64, 4},  /* CheckSum */
        {24 + 68, 2},  /* Subsystem */
    };
    plain(odd);
    odd_finish(odd);
    uint8_t *nt = odd->bytes + odd_nt(odd);
    for (uint32_t i = 0; i < sizeof(both) / sizeof(*both); i++)
        memset(nt + both[i].offset, 0xff, both[i].size);
    if (!odd->code.wide)
        memset(nt + 24 + 24, 0xff, 4); /* BaseOfData */
    uint32_t pointers = odd->code.wide ? 32 : 16;
    memset(nt + 24 + 72, 0xff, pointers + 8); /* stack, heap, LoaderFlags, NumberOfRvaAndSizes */
    memset(odd->bytes + 2, 0xff, 0x3a);       /* the DOS header */
    static const uint8_t unused[] = {IMAGE_DIRECTORY_ENTRY_ARCHITECTURE,
                                     IMAGE_DIRECTORY_ENTRY_GLOBALPTR, IMAGE_DIRECTORY_ENTRY_IAT,
                                     IMAGE_DIRECTORY_ENTRY_RESERVED};
    for (uint32_t i = 0; i < sizeof(unused); i++)
        memset(odd->bytes + odd_directory(odd, unused[i]), 0xff, 8);
    for (uint32_t i = 0; i < 3; i++) {
        memset(odd->bytes + odd_section_header(odd, i), 0xff, 8);       /* its name */
        memset(odd->bytes + odd_section_header(odd, i) + 24, 0xff, 12); /* relocations, lines */
    }
}

/* ---- programs that do the loading ------------------------------------------------------------ */

/* Imports f of `dll`, which `build` makes, and calls it. */
static void import_from(struct odd *odd, const char *dll, void (*build)(struct odd *odd))
{
    struct odd_calls c;
    odd_dll(odd, dll, build);
    odd_calls_begin(&c, odd, PEBUILD_EXE, NULL, dll, ODD_NAMES("f"));
    odd_print(odd, "main");
    odd_calls_call(&c, odd_calls_iat(&c, "f"), 0, NULL, 0);
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

/* Loads and frees `dll` at run time. */
static void load_at_run_time(struct odd *odd, const char *dll, void (*build)(struct odd *odd),
                             bool wide)
{
    struct odd_calls c;
    odd_dll(odd, dll, build);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryA", "LoadLibraryW", "FreeLibrary"),
                    NULL, NULL);
    uint32_t handle = odd_calls_slot(&c);
    odd_print(odd, "before");
    ODD_CALL(&c, wide ? "LoadLibraryW" : "LoadLibraryA", handle,
             ODD_AT(wide ? odd_calls_wide(&c, dll) : odd_calls_text(&c, dll)));
    odd_print_if32(odd, handle, 0, "not loaded", "loaded");
    ODD_CALL(&c, "FreeLibrary", 0, ODD_IN(handle));
    odd_print(odd, "freed");
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

#define LOADED "before\nattach\nloaded\ndetach\nfreed"
#define QUIET  "before\nloaded\nfreed"

static void static_dll(struct odd *odd)
{
    import_from(odd, "static.dll", moved);
}

static void dynamic_dll(struct odd *odd)
{
    load_at_run_time(odd, "dynamic.dll", plain, false);
}

static void dynamic_wide(struct odd *odd)
{
    load_at_run_time(odd, "dynamicw.dll", plain, true);
}

static void no_export_directory(struct odd *odd)
{
    load_at_run_time(odd, "noexport.dll", without_exports, false);
}

static void static_program(struct odd *odd)
{
    import_from(odd, "nodllflag.dll", moved_program);
}

static void static_without_entry(struct odd *odd)
{
    import_from(odd, "noentry.dll", no_entry);
}

static void dynamic_without_entry(struct odd *odd)
{
    load_at_run_time(odd, "noentryd.dll", no_entry, false);
}

static void static_subsystem(struct odd *odd)
{
    import_from(odd, "subsystem.dll", unknown_subsystem);
}

static void dynamic_subsystem(struct odd *odd)
{
    load_at_run_time(odd, "subsystemd.dll", native_subsystem, false);
}

static void static_all_ones(struct odd *odd)
{
    import_from(odd, "ones.dll", all_ones);
}

static void dynamic_all_ones(struct odd *odd)
{
    load_at_run_time(odd, "onesd.dll", all_ones, false);
}

/* ---- entry points elsewhere ------------------------------------------------------------------ */

/* f() is where the program begins. */
static void holds_entry(struct odd *odd)
{
    odd_program(odd, PEBUILD_DLL);
    uint32_t f = odd_here(odd);
    odd_print(odd, "entry point in the DLL");
    odd_exit(odd, 4);
    odd->b->h.address_of_entry_point = odd_here(odd);
    odd_dll_main(odd, "attach", "detach");
    odd_text(odd);
    export_code(odd, f);
}

static void entry_in_dll(struct odd *odd, uint32_t base)
{
    odd_dll(odd, "entry.dll", holds_entry);
    struct odd_calls c;
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.image_base = base;
    odd_calls_begin(&c, odd, PEBUILD_EXE, NULL, "entry.dll", ODD_NAMES("f"));
    odd_print(odd, "main");
    odd_exit(odd, 0);
    odd_calls_end(&c);
    odd->b->h.address_of_entry_point = DLL_BASE + 0x2000 - base;
}

static void entry_above(struct odd *odd)
{
    entry_in_dll(odd, PROGRAM_BASE);
}

static void entry_below(struct odd *odd)
{
    entry_in_dll(odd, HIGH_BASE);
}

/* The DLL's entry point is the first code of a program at HIGH_BASE. */
static void entry_in_program(struct odd *odd)
{
    without_exports(odd);
    odd->b->h.address_of_entry_point = HIGH_BASE + 0x2000 - DLL_BASE;
}

static void entry_of_dll_in_program(struct odd *odd)
{
    struct odd_calls c;
    odd_dll(odd, "outside.dll", entry_in_program);
    odd_begin(odd, PEBUILD_EXE);
    odd->b->h.image_base = HIGH_BASE;
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryA", "FreeLibrary"), NULL, NULL);
    odd_dll_main(odd, "attach outside", "detach outside");
    uint32_t handle = odd_calls_slot(&c);
    odd->b->h.address_of_entry_point = odd_here(odd);
    ODD_CALL(&c, "LoadLibraryA", handle, ODD_AT(odd_calls_text(&c, "outside.dll")));
    odd_print_if32(odd, handle, DLL_BASE, "loaded", "not loaded");
    ODD_CALL(&c, "FreeLibrary", 0, ODD_IN(handle));
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

static void entry_nowhere(struct odd *odd)
{
    plain(odd);
    odd->b->h.address_of_entry_point = 0x60000000;
}

static void entry_of_dll_nowhere(struct odd *odd)
{
    load_at_run_time(odd, "nowhere.dll", entry_nowhere, false);
}

/* Flat, no PE section, an entry point where nothing is; it speaks through its TLS callback. */
static void flat_tls(struct odd *odd)
{
    odd_begin(odd, PEBUILD_DLL);
    odd->b->h.section_alignment = odd->b->h.file_alignment = 0x200;
    odd_program(odd, PEBUILD_DLL);
    const uint32_t callbacks[] = {odd_here(odd)};
    odd_dll_main(odd, "attach by TLS", "detach by TLS");
    odd_text(odd);
    struct pebuild_tls tls = {.callbacks = callbacks, .callback_count = 1};
    pebuild_tls(odd->b, &tls);
    odd->b->h.address_of_entry_point = 0x60000000;
    odd->b->h.number_of_sections = 0;
}

static void sectionless_tls(struct odd *odd)
{
    load_at_run_time(odd, "flattls.dll", flat_tls, false);
}

/*
 * Attach changes where the initial thread starts: its instruction pointer, or the routine that
 * RtlUserThreadStart would call.
 */
static void changes_context(struct odd *odd, uint32_t offset64, uint8_t offset32)
{
    odd_program(odd, PEBUILD_DLL);
    uint32_t f = odd_here(odd);
    odd_print(odd, "started by the DLL");
    odd_exit(odd, 5);
    odd->b->h.address_of_entry_point = odd_here(odd);
    uint32_t mark = odd_reason(odd, 1);
    odd_address(odd, f);
    if (odd->code.wide) {
        uint8_t store[] = {0x49, 0x89, 0x80, 0, 0, 0, 0}; /* mov [r8+offset], rax */
        pebuild_put32(store, 3, offset64);
        odd_emit(odd, store, sizeof(store));
    } else {
        uint8_t store[] = {0x8b, 0x4c, 0x24, 0x0c,        /* mov ecx, [esp+12] */
                           0x89, 0x81, 0,    0,    0, 0}; /* mov [ecx+offset], eax */
        pebuild_put32(store, 6, offset32);
        odd_emit(odd, store, sizeof(store));
    }
    odd_reason_end(odd, mark);
    odd_return(odd, 1);
    odd_text(odd);
    export_code(odd, f);
}

static void changes_pc(struct odd *odd)
{
    changes_context(odd, 0xf8, 0xb8); /* Rip, Eip */
}

static void changes_routine(struct odd *odd)
{
    changes_context(odd, 0x80, 0xb0); /* Rcx, Eax */
}

static void context_pc(struct odd *odd)
{
    import_from(odd, "contextpc.dll", changes_pc);
}

static void context_routine(struct odd *odd)
{
    import_from(odd, "contextrt.dll", changes_routine);
}

/* ---- bases ----------------------------------------------------------------------------------- */

static void fixed_at(struct odd *odd, uint32_t base)
{
    odd_begin(odd, PEBUILD_DLL);
    odd->b->h.image_base = base;
    odd->b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
    without_exports(odd);
}

static void fixed_free(struct odd *odd)
{
    fixed_at(odd, FREE_BASE);
}

static void fixed_taken(struct odd *odd)
{
    fixed_at(odd, PROGRAM_BASE);
}

/* Where each of two DLLs without relocations goes. */
static void without_relocations(struct odd *odd)
{
    struct odd_calls c;
    odd_dll(odd, "fixed.dll", fixed_free);
    odd_dll(odd, "taken.dll", fixed_taken);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryA", "GetLastError"), NULL, NULL);
    uint32_t handle = odd_calls_slot(&c), error = odd_calls_slot(&c);
    ODD_CALL(&c, "LoadLibraryA", handle, ODD_AT(odd_calls_text(&c, "fixed.dll")));
    ODD_PRINTF(&c, "base %x", ODD_IN(handle));
    ODD_CALL(&c, "LoadLibraryA", handle, ODD_AT(odd_calls_text(&c, "taken.dll")));
    odd_calls_call(&c, odd_calls_iat(&c, "GetLastError"), error, NULL, 0);
    ODD_PRINTF(&c, "base %x, error %d", ODD_IN(handle), ODD_IN(error));
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

static void dynamic_base(struct odd *odd)
{
    odd_begin(odd, PEBUILD_DLL);
    odd->b->h.image_base = FREE_BASE;
    odd->b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    without_exports(odd);
    pebuild_pointer_fixup(odd->b, 0x2000 + odd->code.size); /* of a pointer that follows the code */
    odd_emit(odd, (const uint8_t[8]){0}, 8);
    odd_text(odd);
    pebuild_relocs(odd->b);
}

/* The second time memory is where the DLL was the first time. */
static void base_varies(struct odd *odd)
{
    struct odd_calls c;
    odd_dll(odd, "varies.dll", dynamic_base);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryA", "FreeLibrary", "VirtualAlloc"),
                    NULL, NULL);
    uint32_t first = odd_calls_slot(&c), second = odd_calls_slot(&c), name;
    name = odd_calls_text(&c, "varies.dll");
    ODD_CALL(&c, "LoadLibraryA", first, ODD_AT(name));
    ODD_CALL(&c, "FreeLibrary", 0, ODD_IN(first));
    ODD_CALL(&c, "VirtualAlloc", 0, ODD_IN(first), ODD_VALUE(0x1000), ODD_VALUE(0x2000),
             ODD_VALUE(4));
    ODD_CALL(&c, "LoadLibraryA", second, ODD_AT(name));
    /* MEM_RESERVE of what is free succeeds, so the two differ: x ^ y is not 0. */
    odd_address(odd, first);
    odd_emit(odd, (const uint8_t[]){0x8b, 0x00}, 2); /* mov eax, [rax] */
    odd_emit(odd, (const uint8_t[]){0x89, 0xc1}, 2); /* mov ecx, eax */
    odd_address(odd, second);
    odd_emit(odd, (const uint8_t[]){0x29, 0x08}, 2); /* sub [rax], ecx */
    odd_print_if32(odd, second, 0, "the same base", "another base");
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

/* ---- a program as a DLL ---------------------------------------------------------------------- */

/* f() returns 7; "g" is the IAT slot of printf. */
static void exports_only(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd->b->h.image_base = FREE_BASE;
    odd_dll_main(odd, "attach", "detach");
    uint32_t f = odd_here(odd), g = odd->code.printf_iat;
    odd_return(odd, 7);
    odd_text(odd);
    const struct pebuild_export exports[] = {{.name = "f", .ordinal = 1, .rva = f},
                                             {.name = "g", .ordinal = 2, .rva = g}};
    pebuild_exports(odd->b, "odd.dll", 1, exports, 2);
}

/* Calls f of what it loads, then shows which page the first import's slot names: the one of the
 * names, as in the file. */
static void program_at_run_time(struct odd *odd)
{
    struct odd_calls c;
    odd_dll(odd, "exports.dll", exports_only);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryA", "GetProcAddress"), NULL, NULL);
    uint32_t handle = odd_calls_slot(&c), f = odd_calls_slot(&c), g = odd_calls_slot(&c);
    ODD_CALL(&c, "LoadLibraryA", handle, ODD_AT(odd_calls_text(&c, "exports.dll")));
    ODD_CALL(&c, "GetProcAddress", f, ODD_IN(handle), ODD_AT(odd_calls_text(&c, "f")));
    ODD_CALL(&c, "GetProcAddress", g, ODD_IN(handle), ODD_AT(odd_calls_text(&c, "g")));
    odd_calls_call(&c, f, f, NULL, 0);
    odd_calls_load32(&c, g, g);
    odd_calls_compute(&c, g, g, 0xfffff000, 0);
    ODD_PRINTF(&c, "f %d, import %x", ODD_IN(f), ODD_IN(g));
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

/* ---- a shared PE section --------------------------------------------------------------------- */

/* Exports a number in a PE section of its own that all processes share. */
static void shared_number(struct odd *odd)
{
    static const uint8_t three[8] = {3};
    odd_program(odd, PEBUILD_DLL);
    odd_return(odd, 1);
    odd_text(odd);
    uint32_t rva = pebuild_next_rva(odd->b);
    pebuild_section(odd->b, "shared", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED, three, 8, 0);
    export_code(odd, rva);
}

/* Prints the number and makes it `value`: what f's IAT slot says is where it lies. */
static void show_and_set(struct odd_calls *c, const char *format, uint8_t value)
{
    uint32_t number = odd_calls_slot(c), f = odd_calls_iat(c, "f");
    odd_calls_load32(c, number, f);
    ODD_CALL(c, "printf", 0, ODD_AT(odd_calls_text(c, format)), ODD_IN(number));
    odd_address(c->odd, f);
    if (c->odd->code.wide)
        odd_emit(c->odd, (const uint8_t[]){0x48}, 1);
    odd_emit(c->odd, (const uint8_t[]){0x8b, 0x00, 0xc7, 0x00, value, 0, 0, 0}, 8);
}

static void sharing_child(struct odd *odd)
{
    struct odd_calls c;
    odd_calls_begin(&c, odd, PEBUILD_EXE, NULL, "shared.dll", ODD_NAMES("f"));
    show_and_set(&c, "the child finds %d\n", 7);
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

static void shared_by_processes(struct odd *odd)
{
    struct odd_calls c;
    bool wide = sizeof(void *) == 8;
    uint8_t startup[104] = {wide ? 104 : 68}; /* STARTUPINFOA.cb */
    odd_dll(odd, "shared.dll", shared_number);
    odd_dll(odd, "sharing.exe", sharing_child);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("CreateProcessA", "WaitForSingleObject"),
                    "shared.dll", ODD_NAMES("f"));
    uint32_t process = odd_calls_bytes(&c, NULL, 24); /* PROCESS_INFORMATION */
    show_and_set(&c, "the file says %d\n", 5);
    ODD_CALL(&c, "fflush", 0, ODD_VALUE(0));
    ODD_CALL(&c, "CreateProcessA", 0, ODD_VALUE(0), ODD_AT(odd_calls_text(&c, "sharing.exe")),
             ODD_VALUE(0), ODD_VALUE(0), ODD_VALUE(0), ODD_VALUE(0), ODD_VALUE(0), ODD_VALUE(0),
             ODD_AT(odd_calls_bytes(&c, startup, sizeof(startup))), ODD_AT(process));
    ODD_CALL(&c, "WaitForSingleObject", 0, ODD_IN(process), ODD_VALUE(-1));
    show_and_set(&c, "the parent finds %d\n", 0);
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

const struct odd_row odd_rows[] = {
    {.name = "sectionless-tls",
     .shows = "dll-01",
     .formats = ODD_BOTH,
     .build = sectionless_tls,
     .output = "before\nattach by TLS\nloaded\ndetach by TLS\nfreed",
     .run_on = PE_WINDOWS_7 | PE_WINDOWS_10}, /* XP prepares no TLS of what comes in late */
    {.name = "static",
     .shows = "dll-02",
     .formats = ODD_BOTH,
     .build = static_dll,
     .output = "attach, moved\nmain\ndetach, moved"},
    {.name = "dynamic",
     .shows = "dll-03",
     .formats = ODD_BOTH,
     .build = dynamic_dll,
     .output = LOADED},
    {.name = "dynamic-wide",
     .shows = "dll-04",
     .formats = ODD_BOTH,
     .build = dynamic_wide,
     .output = LOADED},
    {.name = "entry-in-dll",
     .shows = "dll-06",
     .formats = ODD_BOTH,
     .build = entry_above,
     .output = "attach\nentry point in the DLL\ndetach",
     .exit_code = 4},
    {.name = "entry-in-dll-below",
     .shows = "dll-06",
     .formats = ODD_32, /* the sum of PE32+ has 64 bits */
     .build = entry_below,
     .output = "attach\nentry point in the DLL\ndetach",
     .exit_code = 4},
    {.name = "dll-entry-in-program",
     .shows = "dll-07",
     .formats = ODD_BOTH,
     .build = entry_of_dll_in_program,
     .output = "attach outside\nloaded\ndetach outside"},
    {.name = "dll-entry-nowhere",
     .shows = "dll-07",
     .formats = ODD_BOTH,
     .build = entry_of_dll_nowhere,
     .output = QUIET},
    {.name = "no-exports",
     .shows = "dll-08",
     .formats = ODD_BOTH,
     .build = no_export_directory,
     .output = LOADED},
    {.name = "static-program",
     .shows = "dll-09",
     .formats = ODD_BOTH,
     .build = static_program,
     .output = "main\nf, moved"},
    {.name = "dynamic-program",
     .shows = "dll-10",
     .formats = ODD_BOTH,
     .build = program_at_run_time,
     .output = "f 7, import 1000"},
    {.name = "no-relocations",
     .shows = "dll-11",
     .formats = ODD_BOTH,
     .build = without_relocations,
     .output = "attach\nbase 11000000\nbase 0, error 487\ndetach"},
    {.name = "static-no-entry",
     .shows = "dll-12",
     .formats = ODD_BOTH,
     .build = static_without_entry,
     .output = "main\nf"},
    {.name = "dynamic-no-entry",
     .shows = "dll-13",
     .formats = ODD_BOTH,
     .build = dynamic_without_entry,
     .output = QUIET},
    {.name = "static-subsystem",
     .shows = "dll-14",
     .formats = ODD_BOTH,
     .build = static_subsystem,
     .output = "attach\nmain\nf\ndetach"},
    {.name = "dynamic-subsystem",
     .shows = "dll-15",
     .formats = ODD_BOTH,
     .build = dynamic_subsystem,
     .output = LOADED},
    {.name = "static-all-ones",
     .shows = "dll-16",
     .formats = ODD_BOTH,
     .build = static_all_ones,
     .output = "attach\nmain\nf\ndetach"},
    {.name = "dynamic-all-ones",
     .shows = "dll-17",
     .formats = ODD_BOTH,
     .build = dynamic_all_ones,
     .output = LOADED},
    {.name = "dynamic-base",
     .shows = "dll-19",
     .formats = ODD_BOTH,
     .build = base_varies,
     .output = "attach\ndetach\nattach\nanother base\ndetach"},
    {.name = "context-pc",
     .shows = "dll-20",
     .formats = ODD_BOTH,
     .build = context_pc,
     .output = "started by the DLL",
     .exit_code = 5},
    {.name = "context-routine",
     .shows = "dll-20",
     .formats = ODD_BOTH,
     .build = context_routine,
     .output = "started by the DLL",
     .exit_code = 5},
    {.name = "shared-section",
     .shows = "dll-21",
     .formats = ODD_BOTH,
     .build = shared_by_processes,
     .output = "the file says 3\nthe child finds 5\nthe parent finds 7"},
    {0},
};
