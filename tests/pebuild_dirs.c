/*
 * The builder of PE images for tests (pebuild.h): import, export, base-relocation and TLS
 * directories.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/pebuild.h"

static uint32_t name_count(const struct pebuild_import *import)
{
    uint32_t n = 0;
    while (n < 16 && import->names[n])
        n++;
    return n;
}

/* A table of zero thunks with its terminator. */
static uint32_t reserve_thunks(struct pebuild_buffer *buf, uint32_t count)
{
    pebuild_align(buf, 8);
    return pebuild_zeroes(buf, (count + 1) * (buf->b->h.pe32_plus ? 8u : 4u));
}

static uint64_t thunk_of(struct pebuild_buffer *buf, const char *name, uint16_t hint)
{
    if (name[0] == '#')
        return (uint64_t)strtoul(name + 1, NULL, 10) | 1ull << (buf->b->h.pe32_plus ? 63 : 31);
    pebuild_align(buf, 2);
    uint32_t rva = pebuild_u16(buf, hint);
    pebuild_str(buf, name);
    return rva;
}

void pebuild_imports(struct pebuild *b, struct pebuild_import *imports, uint32_t count)
{
    struct pebuild_buffer buf = pebuild_buffer(b);
    uint32_t size = b->h.pe32_plus ? 8 : 4;
    uint32_t descriptors = pebuild_zeroes(&buf, (count + 1) * 20);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = name_count(&imports[i]), at = descriptors + i * 20;
        uint32_t lookup = imports[i].no_lookup_table ? 0 : reserve_thunks(&buf, n);
        imports[i].iat_rva = reserve_thunks(&buf, n);
        pebuild_patch32(&buf, at, lookup);
        pebuild_patch32(&buf, at + 12, pebuild_str(&buf, imports[i].module));
        pebuild_patch32(&buf, at + 16, imports[i].iat_rva);
        for (uint32_t j = 0; j < n; j++) {
            uint64_t thunk = thunk_of(&buf, imports[i].names[j], imports[i].hint);
            pebuild_patch_ptr(&buf, imports[i].iat_rva + j * size, thunk);
            if (lookup)
                pebuild_patch_ptr(&buf, lookup + j * size, thunk);
        }
    }
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, descriptors, (count + 1) * 20);
    pebuild_buffer_section(&buf, ".idata", PEBUILD_DATA);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct pebuild_export *const *)a)->name,
                  (*(const struct pebuild_export *const *)b)->name);
}

/* The address table: its entry count, from the highest ordinal. */
static uint32_t table_length(const struct pebuild_export *exports, uint32_t count, uint32_t base)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (exports[i].ordinal - base + 1 > n)
            n = exports[i].ordinal - base + 1;
    return n;
}

void pebuild_exports(struct pebuild *b, const char *module_name, uint32_t ordinal_base,
                     const struct pebuild_export *exports, uint32_t count)
{
    struct pebuild_buffer buf = pebuild_buffer(b);
    const struct pebuild_export **named = calloc(count + 1u, sizeof(*named));
    uint32_t functions = table_length(exports, count, ordinal_base), n = 0;
    if (!named)
        abort();
    for (uint32_t i = 0; i < count; i++)
        if (exports[i].name)
            named[n++] = &exports[i];
    qsort(named, n, sizeof(*named), by_name);
    uint32_t dir = pebuild_zeroes(&buf, 40);
    uint32_t addresses = pebuild_zeroes(&buf, functions * 4);
    uint32_t names = pebuild_zeroes(&buf, n * 4), ordinals = pebuild_here(&buf);
    for (uint32_t i = 0; i < n; i++)
        pebuild_u16(&buf, (uint16_t)(named[i]->ordinal - ordinal_base));
    for (uint32_t i = 0; i < n; i++)
        pebuild_patch32(&buf, names + i * 4, pebuild_str(&buf, named[i]->name));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t rva =
            exports[i].forwarder ? pebuild_str(&buf, exports[i].forwarder) : exports[i].rva;
        pebuild_patch32(&buf, addresses + (exports[i].ordinal - ordinal_base) * 4, rva);
    }
    const uint32_t fields[] = {
        pebuild_str(&buf, module_name), ordinal_base, functions, n, addresses, names, ordinals};
    for (uint32_t i = 0; i < 7; i++)
        pebuild_patch32(&buf, dir + 12 + i * 4, fields[i]);
    free(named);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_EXPORT, dir, buf.size);
    pebuild_buffer_section(&buf, ".edata", PEBUILD_RDATA);
}

void pebuild_fixup(struct pebuild *b, uint32_t rva, uint8_t type)
{
    if (b->fixup_count == PEBUILD_MAX_FIXUPS)
        abort();
    b->fixups[b->fixup_count].rva = rva;
    b->fixups[b->fixup_count].type = type;
    b->fixups[b->fixup_count++].parameter = 0;
}

void pebuild_highadj(struct pebuild *b, uint32_t rva, uint16_t parameter)
{
    pebuild_fixup(b, rva, 4);
    b->fixups[b->fixup_count - 1].parameter = parameter;
}

void pebuild_pointer_fixup(struct pebuild *b, uint32_t rva)
{
    pebuild_fixup(b, rva, b->h.pe32_plus ? 10 : 3);
}

/* The lowest page above `after` that has a fixup; UINT32_MAX = none. */
static uint32_t next_page(const struct pebuild *b, uint32_t after)
{
    uint32_t page = UINT32_MAX;
    for (uint32_t i = 0; i < b->fixup_count; i++) {
        uint32_t p = b->fixups[i].rva & ~0xfffu;
        if (p < page && (after == UINT32_MAX || p > after))
            page = p;
    }
    return page;
}

void pebuild_relocs(struct pebuild *b)
{
    struct pebuild_buffer buf = pebuild_buffer(b);
    for (uint32_t page = next_page(b, UINT32_MAX); page != UINT32_MAX; page = next_page(b, page)) {
        uint32_t block = pebuild_u32(&buf, page), size = pebuild_u32(&buf, 0);
        for (uint32_t i = 0; i < b->fixup_count; i++) {
            if ((b->fixups[i].rva & ~0xfffu) != page)
                continue;
            pebuild_u16(&buf, (uint16_t)(b->fixups[i].type << 12 | (b->fixups[i].rva & 0xfff)));
            if (b->fixups[i].type == 4)
                pebuild_u16(&buf, b->fixups[i].parameter);
        }
        pebuild_align(&buf, 4);
        pebuild_patch32(&buf, size, pebuild_here(&buf) - block);
    }
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BASERELOC, buf.rva, buf.size);
    if (buf.size == 0)
        pebuild_u32(&buf, 0); /* no PE section may be empty */
    pebuild_buffer_section(&buf, ".reloc", PEBUILD_RDATA | IMAGE_SCN_MEM_DISCARDABLE);
}

void pebuild_tls(struct pebuild *b, struct pebuild_tls *tls)
{
    struct pebuild_buffer buf = pebuild_buffer(b);
    uint32_t start = pebuild_bytes(&buf, tls->template_data, tls->template_size);
    pebuild_align(&buf, 8);
    tls->index_rva = pebuild_u32(&buf, 0);
    pebuild_align(&buf, 8);
    uint32_t callbacks = pebuild_here(&buf);
    for (uint32_t i = 0; i < tls->callback_count; i++)
        pebuild_va(&buf, tls->callbacks[i]);
    pebuild_ptr(&buf, 0);
    pebuild_align(&buf, 8);
    tls->directory_rva = pebuild_va(&buf, start);
    pebuild_va(&buf, start + tls->template_size);
    pebuild_va(&buf, tls->index_rva);
    pebuild_va(&buf, callbacks);
    pebuild_u32(&buf, tls->zero_fill);
    pebuild_u32(&buf, tls->characteristics);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_TLS, tls->directory_rva, b->h.pe32_plus ? 40 : 24);
    pebuild_buffer_section(&buf, ".tls", PEBUILD_DATA);
}
