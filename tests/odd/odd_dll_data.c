/*
 * The smallest DLLs, DLLs loaded as data, tables of guarded functions (facts: behaviours, DLL
 * loading).
 */
#include <string.h>

#include "tests/odd/odd_calls.h"

const char odd_area[] = "dll_data";

enum { FREE_BASE = 0x11000000, AS_DATAFILE = 2 };

/* ---- tiny ------------------------------------------------------------------------------------ */

/*
 * 284 bytes, flat, the NT headers at 4. One data directory: behind it is room for the export
 * directory, a function that returns 284 and an entry point.
 */
static void tiny284(struct odd *odd)
{
    enum { EXPORTS = 148, TABLE = 188, FUNCTION = 196, ENTRY = 204 };
    bool wide = sizeof(void *) == 8;
    static const uint8_t function[] = {0xb8, 284 & 0xff, 284 >> 8, 0, 0, 0xc3};
    static const uint8_t entry[2][5] = {{0xb0, 1, 0xc2, 12, 0}, {0xb0, 1, 0xc3}};
    odd_bytes(odd, 284);
    uint8_t *b = odd->bytes, *nt = b + 4, *optional = nt + 24;
    uint32_t directories = wide ? 112 : 96;
    pebuild_put16(b, 0, 0x5a4d);
    pebuild_put32(nt, 0, 0x4550);
    pebuild_put16(nt, 4, wide ? IMAGE_FILE_MACHINE_AMD64 : IMAGE_FILE_MACHINE_I386);
    pebuild_put16(nt, 20, wide ? 240 : 224);
    pebuild_put16(nt, 22, IMAGE_FILE_EXECUTABLE_IMAGE | IMAGE_FILE_DLL);
    pebuild_put16(optional, 0, wide ? 0x20b : 0x10b);
    pebuild_put32(optional, 16, ENTRY);
    pebuild_put32(optional, wide ? 24 : 28, FREE_BASE);
    pebuild_put32(optional, 32, 4); /* SectionAlignment, and e_lfanew */
    pebuild_put32(optional, 36, 4);
    pebuild_put16(optional, 48, 4);
    pebuild_put32(optional, 56, 0x1000); /* SizeOfImage */
    pebuild_put32(optional, 60, 0x30);   /* SizeOfHeaders */
    pebuild_put16(optional, 68, IMAGE_SUBSYSTEM_WINDOWS_CUI);
    pebuild_put32(optional, directories - 4, 1);
    pebuild_put32(optional, directories, EXPORTS);
    pebuild_put32(optional, directories + 4, 40);
    pebuild_put32(b, EXPORTS + 16, 1); /* ordinal base */
    pebuild_put32(b, EXPORTS + 20, 1);
    pebuild_put32(b, EXPORTS + 28, TABLE);
    pebuild_put32(b, TABLE, FUNCTION);
    memcpy(b + FUNCTION, function, sizeof(function));
    memcpy(b + ENTRY, entry[wide], sizeof(entry[wide]));
}

static void load_284(struct odd *odd)
{
    struct odd_calls c;
    odd_dll(odd, "tiny284.dll", tiny284);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryA", "GetProcAddress"), NULL, NULL);
    uint32_t handle = odd_calls_slot(&c), f = odd_calls_slot(&c);
    ODD_CALL(&c, "LoadLibraryA", handle, ODD_AT(odd_calls_text(&c, "tiny284.dll")));
    ODD_CALL(&c, "GetProcAddress", f, ODD_IN(handle), ODD_VALUE(1));
    odd_calls_call(&c, f, f, NULL, 0);
    ODD_PRINTF(&c, "loaded, %d", ODD_IN(f));
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

/*
 * 97 bytes: the optional header ends with the first byte of Subsystem. The entry point is in fields
 * that nobody reads; it writes a letter behind the bytes of the file.
 */
static void tiny97(struct odd *odd)
{
    static const uint8_t entry[] = {0x8b, 0x44, 0x24, 0x04, /* mov eax, [esp+4] */
                                    0xc6, 0x40, 0x7f, 'A',  /* mov byte [eax+0x7f], 'A' */
                                    0xc2, 0x0c, 0x00};      /* ret 12 */
    odd_bytes(odd, 97);
    uint8_t *b = odd->bytes, *nt = b + 4, *optional = nt + 24;
    pebuild_put16(b, 0, 0x5a4d);
    pebuild_put32(nt, 0, 0x4550);
    pebuild_put16(nt, 4, IMAGE_FILE_MACHINE_I386);
    memcpy(nt + 8, entry, sizeof(entry));
    pebuild_put16(nt, 22, IMAGE_FILE_EXECUTABLE_IMAGE | IMAGE_FILE_DLL);
    pebuild_put16(optional, 0, 0x10b);
    pebuild_put32(optional, 16, 12);
    pebuild_put32(optional, 28, FREE_BASE);
    pebuild_put32(optional, 32, 4);
    pebuild_put32(optional, 36, 4);
    pebuild_put16(optional, 48, 4);
    pebuild_put32(optional, 56, 0x1000);
    pebuild_put32(optional, 60, 0x30);
    optional[68] = IMAGE_SUBSYSTEM_WINDOWS_CUI;
}

static void tiny96(struct odd *odd)
{
    tiny97(odd);
    odd_resize(odd, 96);
}

static void load_97(struct odd *odd)
{
    struct odd_calls c;
    odd_dll(odd, "tiny97.dll", tiny97);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryA"), NULL, NULL);
    uint32_t handle = odd_calls_slot(&c);
    ODD_CALL(&c, "LoadLibraryA", handle, ODD_AT(odd_calls_text(&c, "tiny97.dll")));
    odd_calls_compute(&c, handle, handle, 0xffffffff, 0x7f);
    ODD_PRINTF(&c, "attach wrote %.1s", ODD_IN(handle));
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

/* ---- as data --------------------------------------------------------------------------------- */

static void two_signatures(struct odd *odd)
{
    odd_bytes(odd, 61);
    pebuild_put16(odd->bytes, 0, 0x5a4d);
    pebuild_put32(odd->bytes, 4, 0x4550);
    odd->bytes[60] = 4; /* the first byte of e_lfanew; the others are behind the file's end */
}

/* Loads `file` as data into `handle` and its address without the low bits into the result. */
static uint32_t load_data(struct odd_calls *c, const char *file, uint32_t *handle)
{
    uint32_t address = odd_calls_slot(c);
    *handle = odd_calls_slot(c);
    ODD_CALL(c, "LoadLibraryExA", *handle, ODD_AT(odd_calls_text(c, file)), ODD_VALUE(0),
             ODD_VALUE(AS_DATAFILE));
    odd_calls_compute(c, address, *handle, (uint32_t)-4, 0);
    return address;
}

static void data_of_61_bytes(struct odd *odd)
{
    struct odd_calls c;
    uint32_t handle;
    odd_dll(odd, "data61.bin", two_signatures);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryExA", "FreeLibrary"), NULL, NULL);
    uint32_t address = load_data(&c, "data61.bin", &handle);
    uint32_t low = odd_calls_slot(&c);
    odd_calls_compute(&c, low, handle, 3, 0);
    ODD_PRINTF(&c, "low bits %d, at the address %.2s", ODD_IN(low), ODD_IN(address));
    ODD_CALL(&c, "FreeLibrary", low, ODD_IN(handle));
    ODD_PRINTF(&c, "freed %d", ODD_IN(low));
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

/* A resource 1 of type 10 in a file whose header is noise but for what leads there. */
static void noisy_data(struct odd *odd)
{
    static const uint32_t tree[] = {
        0,           0, 0, 1u << 16, 10,    0x80000000u | 24, /* 0: types */
        0,           0, 0, 1u << 16, 1,     0x80000000u | 48, /* 24: names */
        0,           0, 0, 1u << 16, 0x409, 72,               /* 48: languages */
        0x1000 + 88, 9, 0, 0,                                 /* 72: the data */
    };
    odd_begin(odd, PEBUILD_DLL);
    struct pebuild_buffer buffer = pebuild_buffer(odd->b);
    for (uint32_t i = 0; i < sizeof(tree) / 4; i++)
        pebuild_u32(&buffer, tree[i]);
    pebuild_bytes(&buffer, "a finding", 9);
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_RESOURCE, 0x1000, 0);
    pebuild_buffer_section(&buffer, ".rsrc", PEBUILD_RDATA);
    odd_finish(odd);
    uint8_t *nt = odd->bytes + odd_nt(odd), *optional = nt + 24;
    memset(nt + 4, 0xff, 2);         /* Machine */
    memset(nt + 8, 0xff, 12);        /* TimeDateStamp, symbol table */
    memset(nt + 22, 0xff, 2);        /* Characteristics */
    memset(optional + 2, 0xff, 22);  /* linker version to BaseOfCode */
    memset(optional + 24, 0xff, 36); /* bases, alignments, versions, SizeOfImage */
    memset(optional + 64, 0xff, 8);  /* CheckSum, Subsystem, DllCharacteristics */
    uint8_t *section = odd->bytes + odd_section_header(odd, 0);
    memset(section, 0xff, 8);
    memset(section + 24, 0xff, 16); /* relocations, lines, Characteristics */
}

static void resource_of_noise(struct odd *odd)
{
    struct odd_calls c;
    uint32_t handle;
    odd_dll(odd, "noise.bin", noisy_data);
    odd_calls_begin(&c, odd, PEBUILD_EXE,
                    ODD_NAMES("LoadLibraryExA", "FindResourceA", "LoadResource", "SizeofResource"),
                    NULL, NULL);
    load_data(&c, "noise.bin", &handle);
    uint32_t found = odd_calls_slot(&c), size = odd_calls_slot(&c), bytes = odd_calls_slot(&c);
    ODD_CALL(&c, "FindResourceA", found, ODD_IN(handle), ODD_VALUE(1), ODD_VALUE(10));
    ODD_CALL(&c, "SizeofResource", size, ODD_IN(handle), ODD_IN(found));
    ODD_CALL(&c, "LoadResource", bytes, ODD_IN(handle), ODD_IN(found));
    ODD_PRINTF(&c, "%.*s", ODD_IN(size), ODD_IN(bytes));
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

/* Two PE sections whose place in the file is not their place in memory. */
static void spread(struct odd *odd)
{
    odd_begin(odd, PEBUILD_DLL);
    pebuild_section(odd->b, ".one", PEBUILD_RDATA, "one", 4, 0x2000);
    pebuild_section(odd->b, ".two", PEBUILD_RDATA, "two", 4, 0);
}

static void data_is_the_file(struct odd *odd)
{
    struct odd_calls c;
    uint32_t handle;
    odd_dll(odd, "spread.bin", spread);
    odd_calls_begin(&c, odd, PEBUILD_EXE, ODD_NAMES("LoadLibraryExA"), NULL, NULL);
    uint32_t address = load_data(&c, "spread.bin", &handle);
    uint32_t one = odd_calls_slot(&c), two = odd_calls_slot(&c);
    odd_calls_compute(&c, one, address, 0xffffffff, 0x400);
    odd_calls_compute(&c, two, address, 0xffffffff, 0x600);
    ODD_PRINTF(&c, "%s at 400, %s at 600", ODD_IN(one), ODD_IN(two));
    odd_exit(odd, 0);
    odd_calls_end(&c);
}

/* ---- guard tables ---------------------------------------------------------------------------- */

/* A load configuration with a table of two guarded functions, which counts from version 6.3 on. */
static void guarded(struct odd *odd, uint32_t second)
{
    bool wide = sizeof(void *) == 8;
    odd_program(odd, PEBUILD_DLL);
    odd->b->h.major_subsystem_version = 6;
    odd->b->h.minor_subsystem_version = 3;
    odd_return(odd, 1);
    odd_text(odd);
    struct pebuild_buffer buffer = pebuild_buffer(odd->b);
    uint32_t config = pebuild_zeroes(&buffer, 152), table = pebuild_u32(&buffer, 0x2000);
    pebuild_u32(&buffer, second);
    pebuild_patch32(&buffer, config, 152);
    pebuild_patch_ptr(&buffer, config + (wide ? 128 : 80), odd->b->h.image_base + table);
    pebuild_patch_ptr(&buffer, config + (wide ? 136 : 84), 2);
    pebuild_patch32(&buffer, config + (wide ? 144 : 88), 0x400); /* CF_FUNCTION_TABLE_PRESENT */
    pebuild_pointer_fixup(odd->b, config + (wide ? 128 : 80));
    pebuild_directory(odd->b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, config, 152);
    pebuild_buffer_section(&buffer, ".rdata", PEBUILD_RDATA);
    pebuild_relocs(odd->b);
}

static void guard_twice(struct odd *odd)
{
    guarded(odd, 0x2000);
}

static void guard_once(struct odd *odd)
{
    guarded(odd, 0x2001);
}

const struct odd_row odd_rows[] = {
    {.name = "guard-table-twice",
     .shows = "dll-18",
     .formats = ODD_BOTH,
     .build = guard_twice,
     .dll = true,
     .refused = {NULL, NULL, "loadcfg.guard_table"},
     .alone = true},
    {.name = "guard-table-rising",
     .shows = "dll-18",
     .formats = ODD_BOTH,
     .build = guard_once,
     .dll = true},
    {.name = "tiny-284",
     .shows = "dll-22",
     .formats = ODD_BOTH,
     .build = tiny284,
     .dll = true,
     .map = "0 1000 EWC"},
    {.name = "load-284",
     .shows = "dll-22",
     .formats = ODD_BOTH,
     .build = load_284,
     .output = "loaded, 284"},
    {.name = "tiny-97",
     .shows = "dll-23",
     .formats = ODD_32,
     .build = tiny97,
     .dll = true,
     .refused = {NULL, "dos.lfanew.range", "dos.lfanew.range"},
     .map = "0 1000 EWC"},
    {.name = "tiny-96",
     .shows = "dll-23",
     .formats = ODD_32,
     .build = tiny96,
     .dll = true,
     .refused = {"dos.lfanew.range", "dos.lfanew.range", "dos.lfanew.range"}},
    {.name = "load-97",
     .shows = "dll-23",
     .formats = ODD_32,
     .build = load_97,
     .output = "attach wrote A",
     .run_on = PE_WINDOWS_XP},
    {.name = "data-61",
     .shows = "dll-24",
     .formats = ODD_BOTH,
     .build = data_of_61_bytes,
     .output = "low bits 1, at the address MZ\nfreed 1"},
    {.name = "data-noise",
     .shows = "dll-25",
     .formats = ODD_BOTH,
     .build = resource_of_noise,
     .output = "a finding"},
    {.name = "data-file",
     .shows = "dll-26",
     .formats = ODD_BOTH,
     .build = data_is_the_file,
     .output = "one at 400, two at 600"},
    {0},
};
