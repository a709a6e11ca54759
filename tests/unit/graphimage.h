/*
 * DLLs for tests of the module graph: what they import and export is data, and their entry points
 * and TLS callbacks tell the test that they were called.
 *
 * The code of an image calls host.exe!record(id, reason, reserved); what the test program recorded
 * is a string such as "b+ a+ a- b-" (+ attach, - detach, t thread attach, u thread detach; upper
 * case: the reserved argument was not NULL). Images are files of the test's temporary directory.
 */
#ifndef TESTS_GRAPHIMAGE_H
#define TESTS_GRAPHIMAGE_H

#include <stdint.h>
#include <string.h>

#include "loader/abi.h"
#include "loader/ldr/builtin.h"
#include "loader/ldr/ldr.h"
#include "tests/pebuild.h"
#include "tests/unit/tempdir.h"

#if defined(__x86_64__)
#define GRAPH_WORD PEBUILD_PE32_PLUS
#else
#define GRAPH_WORD 0u
#endif

static char graph_log[4096];
static char graph_refuses; /* the image of this id returns FALSE */
static void (*graph_hook)(char id, uint32_t reason);

static uint32_t WINAPI_DEF host_record(uint32_t id, uint32_t reason, void *reserved)
{
    static const char *const plain = "-+tu", *const with_reserved = "_*TU";
    size_t used = strlen(graph_log);
    if (used + 4 < sizeof(graph_log)) {
        if (used > 0)
            graph_log[used++] = ' ';
        graph_log[used++] = (char)id;
        graph_log[used++] = (reserved ? with_reserved : plain)[reason & 3];
        graph_log[used] = '\0';
    }
    if (graph_hook != NULL)
        graph_hook((char)id, reason);
    return reason != 1 || (char)id != graph_refuses;
}

/* What was recorded since the last call. */
static inline const char *graph_take_log(void)
{
    static char taken[sizeof(graph_log)];
    memcpy(taken, graph_log, sizeof(taken));
    graph_log[0] = '\0';
    return taken;
}

static int WINAPI_DEF host_Answer(void)
{
    return 42;
}

static inline int graph_register_host(void)
{
    static const struct ldr_builtin_export list[] = {
        LDR_FN(host_, record),
        LDR_FN(host_, Answer),
        {.name = "ToA", .kind = LDR_EXPORT_FORWARD, .forward = "a.fa"},
    };
    static const struct ldr_builtin_family family = {list, sizeof(list) / sizeof(list[0])};
    static const struct ldr_builtin host = {
        .name = "host.exe", .families = &family, .family_count = 1};
    return nt_ok(ldr_builtin_register(&host)) ? 0 : -1;
}

/* Code that calls record(id, reason, reserved) and returns its value. */
static inline uint32_t graph_emit_entry(struct pebuild_buffer *text, char id, uint32_t iat_rva)
{
#if defined(__x86_64__)
    uint8_t code[] = {0x48, 0x83,        0xEC, 0x28,         /* sub rsp, 0x28 */
                      0xB9, (uint8_t)id, 0,    0,    0,      /* mov ecx, id */
                      0xFF, 0x15,        0,    0,    0,   0, /* call [rip + iat] */
                      0x48, 0x83,        0xC4, 0x28, 0xC3};  /* add rsp, 0x28; ret */
    uint32_t rva = pebuild_here(text);
    pebuild_put32(code, 11, iat_rva - (rva + 15));
    return pebuild_bytes(text, code, sizeof(code));
#else
    uint8_t code[] = {0xFF, 0x74,        0x24, 0x0C,       /* push [esp + 12]: reserved */
                      0xFF, 0x74,        0x24, 0x0C,       /* push [esp + 12]: reason */
                      0x68, (uint8_t)id, 0,    0,    0,    /* push id */
                      0xFF, 0x15,        0,    0,    0, 0, /* call [iat] */
                      0xC2, 0x0C,        0x00};            /* ret 12 */
    pebuild_put32(code, 15, (uint32_t)text->b->h.image_base + iat_rva);
    uint32_t rva = pebuild_bytes(text, code, sizeof(code));
    pebuild_fixup(text->b, rva + 15, 3);
    return rva;
#endif
}

#define GRAPH_MAX 8

struct graph_spec {
    const char *file; /* "a.dll" */
    char id;          /* 0 = no entry point */
    bool exe;
    uint64_t base;                            /* 0 = pebuild's */
    struct pebuild_import imports[GRAPH_MAX]; /* beside host.exe!record */
    struct pebuild_export exports[GRAPH_MAX]; /* rva 0 without forwarder: code that returns 7 */
    uint32_t ordinal_base;
    const void *code; /* the entry point instead of the recording one */
    uint32_t code_size;
    char tls_callback; /* id that a TLS callback records; 0 = none */
    struct pebuild_tls *tls;
};

static inline uint32_t graph_count_imports(const struct pebuild_import *imports)
{
    uint32_t count = 0;
    while (count < GRAPH_MAX && imports[count].module != NULL)
        count++;
    return count;
}

static inline uint32_t graph_add_imports(struct pebuild *b, const struct graph_spec *spec,
                                         uint32_t *iats)
{
    struct pebuild_import imports[GRAPH_MAX + 1] = {{.module = "host.exe", .names = {"record"}}};
    uint32_t own = spec->id || spec->tls_callback ? 1 : 0,
             count = graph_count_imports(spec->imports);
    memcpy(imports + own, spec->imports, count * sizeof(*imports));
    if (own + count > 0)
        pebuild_imports(b, imports, own + count);
    for (uint32_t i = 0; i < count && iats != NULL; i++)
        iats[i] = imports[own + i].iat_rva;
    return imports[0].iat_rva;
}

/* The builder of the image, for tests that spoil it; `iats` (may be NULL) gets the IAT RVAs. */
static inline struct pebuild *graph_builder(const struct graph_spec *spec, uint32_t *iats)
{
    struct pebuild *b = pebuild_new((spec->exe ? PEBUILD_EXE : PEBUILD_DLL) | GRAPH_WORD);
    if (spec->base)
        b->h.image_base = spec->base;
    uint32_t record = graph_add_imports(b, spec, iats), seven, callback = 0;
    struct pebuild_buffer text = pebuild_buffer(b);
    seven = pebuild_bytes(&text, "\xB8\x07\x00\x00\x00\xC3", 6); /* mov eax, 7; ret */
    if (spec->id)
        b->h.address_of_entry_point = graph_emit_entry(&text, spec->id, record);
    if (spec->code)
        b->h.address_of_entry_point = pebuild_bytes(&text, spec->code, spec->code_size);
    if (spec->tls_callback)
        callback = graph_emit_entry(&text, spec->tls_callback, record);
    pebuild_buffer_section(&text, ".text", PEBUILD_TEXT);
    struct pebuild_export exports[GRAPH_MAX];
    uint32_t count = 0;
    for (; count < GRAPH_MAX && (spec->exports[count].name || spec->exports[count].ordinal);
         count++) {
        exports[count] = spec->exports[count];
        if (exports[count].rva == 0)
            exports[count].rva = seven;
        if (exports[count].ordinal == 0)
            exports[count].ordinal = (spec->ordinal_base ? spec->ordinal_base : 1) + count;
    }
    if (count > 0)
        pebuild_exports(b, spec->file, spec->ordinal_base ? spec->ordinal_base : 1, exports, count);
    if (spec->tls || callback) {
        struct pebuild_tls none = {0}, *tls = spec->tls ? spec->tls : &none;
        tls->callbacks = &callback;
        tls->callback_count = callback ? 1 : 0;
        pebuild_tls(b, tls);
    }
    pebuild_relocs(b);
    return b;
}

static inline void graph_write(const struct graph_spec *spec)
{
    if (!pebuild_finish_file(graph_builder(spec, NULL), tempdir_path(spec->file)))
        abort();
}

/* Loads a file of the directory. */
static inline nt_status graph_load(const char *file, uint32_t flags, struct ldr_module **out,
                                   struct pe_error *err)
{
    struct ldr_load_options options = {.name = tempdir_path(file), .flags = flags};
    *out = NULL;
    return ldr_load(&options, out, err);
}

static inline struct ldr_module *graph_must_load(const char *file)
{
    struct ldr_module *module;
    struct pe_error err = {0};
    if (!nt_ok(graph_load(file, 0, &module, &err))) {
        fprintf(stderr, "%s: %s\n", file, err.text);
        return NULL;
    }
    return module;
}

#define assert_status(actual, expected) assert_int_equal((nt_status)(actual), (nt_status)(expected))

#endif
