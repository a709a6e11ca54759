/*
 * Fuzz target: loading any bytes as the process's program, which binds imports, makes TLS blocks
 * and relocates, but calls nothing of the image; then its exports, by name and ordinal, through
 * forwarders. Whatever happens, nothing may be left of it afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/abi.h"
#include "loader/ldr/builtin.h"
#include "loader/ldr/ldr.h"
#include "loader/mm/section.h"
#include "pe/exports.h"
#include "tests/fuzz/bounds.h"
#include "tests/fuzz/fuzz.h"

#define MAX_EXPORTS 256u

static int WINAPI_DEF sample_function(void)
{
    return 0;
}

/* What the seeds import; other names of these DLLs are missing. No directory is searched. */
static void register_builtins(void)
{
    static const struct ldr_builtin_export list[] = {
        LDR_FN(sample_, function),
        {.name = "away", .kind = LDR_EXPORT_FORWARD, .forward = "msvcrt.function"},
        {.ordinal = 12, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)sample_function},
    };
    static const struct ldr_builtin_family family = {list, sizeof(list) / sizeof(list[0])};
    static const char *const names[] = {"CreateFileA",    "ExitProcess",  "GetModuleHandleA",
                                        "GetProcAddress", "GetTickCount", "LoadLibraryA",
                                        "VirtualProtect", "free",         "malloc",
                                        "printf",         "puts"};
    static const struct ldr_builtin modules[] = {
        {"KERNEL32.dll", 0, &family, 1, names, sizeof(names) / sizeof(names[0]), NULL, NULL},
        {"msvcrt.dll", 0, &family, 1, names, sizeof(names) / sizeof(names[0]), NULL, NULL},
        {"host.exe", 0, &family, 1, names, sizeof(names) / sizeof(names[0]), NULL, NULL},
    };
    static bool done;
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]) && !done; i++)
        if (!nt_ok(ldr_builtin_register(&modules[i])))
            abort();
    done = true;
    ldr_set_default_flags(LDR_SEARCH_SYSTEM32);
}

/* A DLL is no program: its characteristics are made those of one. */
static void make_program(uint8_t *bytes, size_t size)
{
    const struct pe_span span = {bytes, size};
    uint32_t e_lfanew;
    uint16_t characteristics;
    if (pe_u32(span, 0x3C, &e_lfanew) && pe_u16(span, e_lfanew + 22ull, &characteristics))
        pe_put_u16(span, e_lfanew + 22ull, characteristics & (uint16_t)~IMAGE_FILE_DLL);
}

static void ask_for_exports(struct ldr_module *module)
{
    struct pe_exports exports;
    struct pe_export_iter it = {&exports, 0, 0};
    struct pe_export found;
    uint64_t address;
    const struct pe_image *image = ldr_module_image(module);
    if (!image || !pe_exports_open(image, &exports))
        return;
    for (uint32_t i = 0; i < MAX_EXPORTS && pe_export_next(&it, &found); i++) {
        char *name = found.name.ptr ? strndup(found.name.ptr, found.name.len) : NULL;
        if (name)
            ldr_symbol(module, name, 0, &address, NULL);
        ldr_symbol(module, NULL, (uint16_t)found.ordinal, &address, NULL);
        free(name);
    }
}

static void load(uint8_t *bytes, size_t size, uint32_t flags)
{
    struct ldr_load_options options = {
        .name = "fuzz.exe", .bytes = bytes, .size = size, .flags = flags};
    struct ldr_thread early, late;
    void *fields[2];
    struct ldr_module *module = NULL;
    struct pe_error err = {0};
    if (!nt_ok(ldr_thread_register(&early, &fields[0], NULL)))
        abort();
    nt_status status = ldr_load(&options, &module, &err);
    if (!nt_ok(status) && (err.status != status || err.text[0] == '\0'))
        abort(); /* a failure has a sentence */
    if (nt_ok(status)) {
        ask_for_exports(module);
        if (nt_ok(ldr_thread_register(&late, &fields[1], NULL)))
            ldr_thread_unregister(&late);
    }
    ldr_thread_unregister(&early);
    ldr_shutdown();
    if (ldr_next(NULL) != NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bounds bounds = fuzz_bounds_begin();
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    mm_set_windows(fuzz_windows(data, size));
    register_builtins();
    make_program(copy, size);
    load(copy, size, LDR_EXE);
    load(copy, size, LDR_AS_DATAFILE);
    free(copy);
    fuzz_bounds_end(&bounds, size);
    return 0;
}
