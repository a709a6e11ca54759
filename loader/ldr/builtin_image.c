/*
 * Writes the PE file of a builtin module (builtin_image.h; layout: PE specification).
 *
 *   headers | .rdata: pointer table, trap records, export directory with names and forwarders |
 *   .reloc | .text: gate, thunks | .data: reserved bytes of DATA exports, not in the file
 *
 * What is only read comes first and in one piece, the headers too: every change of protection
 * between neighbours is one more mapping for the kernel to make, at every start of a process.
 *
 * Host functions are called through thunks because code that walks exports expects RVAs inside the
 * image, which host addresses cannot be.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/builtin_plan.h"
#include "loader/ldr/builtin_thunk.h"

#define WORD           ((uint32_t)sizeof(void *))
#define PE32_PLUS      (WORD == 8)
#define E_LFANEW       0x80u
#define RECORD_SIZE    8u          /* of a trap: two distances */
#define DIRECTORY_SIZE 40u         /* IMAGE_EXPORT_DIRECTORY */
#define TIME_STAMP     0x5F000000u /* constant, so that one build gives one image */
#define MAX_IMAGE      0x40000000u
#define MAX_SECTIONS   4

struct out_section {
    const char *name;
    uint32_t rva, size, characteristics;
};

/* Where everything lies: RVAs, which are file offsets too. */
struct layout {
    uint32_t slots, records; /* .rdata */
    uint32_t directory, functions, names, ordinals, strings, directory_end;
    uint32_t reloc_size; /* of the directory, <= its PE section */
    struct out_section text, rdata, reloc, data;
    uint32_t file_size, image_size;
};

struct writer {
    const struct ldr_builtin *builtin;
    const struct ldr_builtin_plan *plan;
    struct layout at;
    struct ldr_thunk_image image;
    uint32_t *fixups; /* RVAs, ascending */
    uint32_t fixup_count;
};

/* ---- layout ---- */

/* Takes `size` bytes at the next multiple of `align`; returns their start. */
static uint64_t take(uint64_t *end, uint64_t size, uint32_t align)
{
    uint64_t start = (*end + align - 1) & ~(uint64_t)(align - 1);
    *end = start + size;
    return start;
}

static void place_rdata(const struct ldr_builtin *builtin, const struct ldr_builtin_plan *plan,
                        struct layout *at, uint64_t *end)
{
    at->slots = (uint32_t)take(end, (plan->functions + 1ull) * WORD, PE_PAGE_SIZE);
    at->records = (uint32_t)take(end, (uint64_t)plan->traps * RECORD_SIZE, 8);
    at->directory = (uint32_t)take(end, DIRECTORY_SIZE, 8);
    at->functions = (uint32_t)take(end, plan->ordinal_count * 4ull, 4);
    at->names = (uint32_t)take(end, plan->named * 4ull, 4);
    at->ordinals = (uint32_t)take(end, plan->named * 2ull, 2);
    at->strings = (uint32_t)take(end, plan->string_size + strlen(builtin->name) + 1, 1);
    at->directory_end = (uint32_t)*end;
    at->rdata = (struct out_section){".rdata", at->slots, at->directory_end - at->slots,
                                     IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ};
}

/* Each sum is far below 2^64: the plan has at most 65535 exports. */
static bool place(const struct ldr_builtin *builtin, const struct ldr_builtin_plan *plan,
                  struct layout *at)
{
    uint32_t thunks = plan->functions + plan->traps;
    uint64_t end = PE_PAGE_SIZE, text_size = (thunks + 1ull) * LDR_THUNK_SIZE;
    if (plan->string_size > MAX_IMAGE || plan->data_size > MAX_IMAGE)
        return false;
    place_rdata(builtin, plan, at, &end);
    /* At most: a block header and an odd entry a page, an entry a fixup. */
    uint64_t reloc_max = (text_size / PE_PAGE_SIZE + 1) * 12 + (thunks + 1ull) * 2;
    uint32_t reloc = (uint32_t)take(&end, reloc_max, PE_PAGE_SIZE);
    at->reloc = (struct out_section){".reloc", reloc, (uint32_t)reloc_max,
                                     IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_DISCARDABLE |
                                         IMAGE_SCN_MEM_READ};
    uint32_t text = (uint32_t)take(&end, text_size, PE_PAGE_SIZE);
    at->text =
        (struct out_section){".text", text, (uint32_t)text_size,
                             IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ};
    at->file_size = (uint32_t)take(&end, 0, PE_PAGE_SIZE);
    uint32_t data = (uint32_t)take(&end, plan->data_size, PE_PAGE_SIZE);
    at->data = (struct out_section){".data", data, (uint32_t)plan->data_size,
                                    IMAGE_SCN_CNT_UNINITIALIZED_DATA | IMAGE_SCN_MEM_READ |
                                        IMAGE_SCN_MEM_WRITE};
    uint64_t image_size = take(&end, 0, PE_PAGE_SIZE);
    at->image_size = (uint32_t)image_size;
    return image_size <= MAX_IMAGE;
}

/* ---- sequential fields ---- */

struct cursor {
    struct pe_span bytes;
    uint32_t at;
};

static void put16(struct cursor *c, uint16_t value)
{
    pe_put_u16(c->bytes, c->at, value);
    c->at += 2;
}

static void put32(struct cursor *c, uint32_t value)
{
    pe_put_u32(c->bytes, c->at, value);
    c->at += 4;
}

static void put_pointer(struct cursor *c, uint64_t value)
{
    put32(c, (uint32_t)value);
    if (PE32_PLUS)
        put32(c, (uint32_t)(value >> 32));
}

static void put_bytes(struct cursor *c, const void *data, size_t size)
{
    struct pe_span to;
    if (pe_sub(c->bytes, c->at, size, &to))
        memcpy((uint8_t *)(uintptr_t)to.data, data, size);
    c->at += (uint32_t)size;
}

static struct cursor cursor_at(const struct writer *w, uint32_t offset)
{
    return (struct cursor){w->image.bytes, offset};
}

/* ---- headers ---- */

static uint32_t raw_size(const struct out_section *section)
{
    return (section->size + PE_PAGE_SIZE - 1) & ~(PE_PAGE_SIZE - 1);
}

static void put_section(struct cursor *c, const struct out_section *section, bool in_file)
{
    char name[8] = {0};
    memcpy(name, section->name, strlen(section->name));
    put_bytes(c, name, sizeof(name));
    put32(c, section->size);
    put32(c, section->rva);
    put32(c, in_file ? raw_size(section) : 0);
    put32(c, in_file ? section->rva : 0);
    put32(c, 0); /* PointerToRelocations, PointerToLinenumbers and their numbers */
    put32(c, 0);
    put32(c, 0);
    put32(c, section->characteristics);
}

static void put_file_header(const struct writer *w, struct cursor *c)
{
    put32(c, 0x4550); /* "PE\0\0" */
    put16(c, PE32_PLUS ? IMAGE_FILE_MACHINE_AMD64 : IMAGE_FILE_MACHINE_I386);
    put16(c, w->plan->data_size ? MAX_SECTIONS : MAX_SECTIONS - 1);
    put32(c, TIME_STAMP);
    put32(c, 0); /* PointerToSymbolTable */
    put32(c, 0); /* NumberOfSymbols */
    put16(c, PE32_PLUS ? 240 : 224);
    put16(c, IMAGE_FILE_EXECUTABLE_IMAGE | IMAGE_FILE_DLL |
                 (PE32_PLUS ? IMAGE_FILE_LARGE_ADDRESS_AWARE : IMAGE_FILE_32BIT_MACHINE));
}

/* The subsystem version stays below 6.3, from where on Windows 10 demands a load config (facts:
 * loader rules, loadcfg.modern). */
static void put_optional_header(const struct writer *w, struct cursor *c)
{
    const struct layout *at = &w->at;
    put16(c, PE32_PLUS ? 0x20B : 0x10B);
    put16(c, 14); /* linker version 14.0 */
    put32(c, raw_size(&at->text));
    put32(c, raw_size(&at->rdata) + raw_size(&at->reloc));
    put32(c, raw_size(&at->data));
    put32(c, 0); /* AddressOfEntryPoint */
    put32(c, at->text.rva);
    if (!PE32_PLUS)
        put32(c, at->rdata.rva);
    put_pointer(c, w->image.base);
    put32(c, PE_PAGE_SIZE); /* SectionAlignment */
    put32(c, PE_PAGE_SIZE); /* FileAlignment */
    put32(c, 10);           /* operating system version 10.0 */
    put32(c, 10);           /* image version 10.0 */
    put32(c, 6);            /* subsystem version 6.0 */
    put32(c, 0);            /* Win32VersionValue */
    put32(c, at->image_size);
    put32(c, PE_PAGE_SIZE); /* SizeOfHeaders */
    put32(c, 0);            /* CheckSum */
    put16(c, IMAGE_SUBSYSTEM_WINDOWS_CUI);
    put16(c, IMAGE_DLLCHARACTERISTICS_NX_COMPAT | IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE);
    put_pointer(c, 0x100000); /* stack and heap: reserve, commit, as linkers set them */
    put_pointer(c, 0x1000);
    put_pointer(c, 0x100000);
    put_pointer(c, 0x1000);
    put32(c, 0); /* LoaderFlags */
    put32(c, PE_DIRECTORY_COUNT);
}

static void write_headers(const struct writer *w)
{
    const struct layout *at = &w->at;
    struct pe_directory directories[PE_DIRECTORY_COUNT] = {
        [IMAGE_DIRECTORY_ENTRY_EXPORT] = {at->directory, at->directory_end - at->directory},
        [IMAGE_DIRECTORY_ENTRY_BASERELOC] = {at->reloc.rva, at->reloc_size}};
    struct cursor c = cursor_at(w, 0);
    put16(&c, 0x5A4D); /* "MZ" */
    c.at = 0x3C;
    put32(&c, E_LFANEW);
    c.at = E_LFANEW;
    put_file_header(w, &c);
    put_optional_header(w, &c);
    for (int i = 0; i < PE_DIRECTORY_COUNT; i++) {
        put32(&c, directories[i].rva);
        put32(&c, directories[i].size);
    }
    put_section(&c, &at->rdata, true);
    put_section(&c, &at->reloc, true);
    put_section(&c, &at->text, true);
    if (at->data.size > 0)
        put_section(&c, &at->data, false);
}

/* ---- code and exports ---- */

static void add_fixup(struct writer *w, uint32_t rva)
{
    if (rva != 0)
        w->fixups[w->fixup_count++] = rva;
}

/* What the next export of each kind gets. */
struct supply {
    uint32_t thunk, record, data;
    struct cursor slots, strings;
};

static uint32_t put_string(struct cursor *c, const char *text)
{
    uint32_t rva = c->at;
    put_bytes(c, text, strlen(text) + 1);
    return rva;
}

static uint32_t next_thunk(struct supply *supply)
{
    uint32_t thunk = supply->thunk;
    supply->thunk += LDR_THUNK_SIZE;
    return thunk;
}

static uint32_t write_trap(struct writer *w, struct supply *supply, uint32_t module, uint32_t name)
{
    uint32_t record = supply->record, thunk = next_thunk(supply);
    struct cursor c = cursor_at(w, record);
    put32(&c, module - record);
    put32(&c, name - record);
    supply->record += RECORD_SIZE;
    add_fixup(w, ldr_thunk_trap(&w->image, thunk, record, w->at.text.rva));
    return thunk;
}

static uint32_t write_function(struct writer *w, struct supply *supply, const void *address)
{
    uint32_t slot = supply->slots.at, thunk = next_thunk(supply);
    put_pointer(&supply->slots, (uintptr_t)address);
    add_fixup(w, ldr_thunk_jump(&w->image, thunk, slot));
    return thunk;
}

/* Returns the RVA for the address table. */
static uint32_t write_export(struct writer *w, struct supply *supply,
                             const struct ldr_planned_export *planned, uint32_t module,
                             uint32_t name)
{
    if (planned->export == NULL)
        return write_trap(w, supply, module, name);
    if (planned->export->kind == LDR_EXPORT_FUNCTION)
        return write_function(w, supply, planned->export->address);
    if (planned->export->kind == LDR_EXPORT_FORWARD)
        return put_string(&supply->strings, planned->export->forward);
    uint32_t data = supply->data;
    supply->data += ldr_builtin_data_size(planned->export);
    return data;
}

static void write_directory(const struct writer *w, uint32_t module)
{
    struct cursor c = cursor_at(w, w->at.directory);
    put32(&c, 0); /* Characteristics */
    put32(&c, TIME_STAMP);
    put32(&c, 0); /* version */
    put32(&c, module);
    put32(&c, w->plan->ordinal_base);
    put32(&c, w->plan->ordinal_count);
    put32(&c, w->plan->named);
    put32(&c, w->at.functions);
    put32(&c, w->at.names);
    put32(&c, w->at.ordinals);
}

static void write_exports(struct writer *w)
{
    const struct layout *at = &w->at;
    struct supply supply = {.thunk = at->text.rva + LDR_THUNK_SIZE,
                            .record = at->records,
                            .data = at->data.rva,
                            .slots = cursor_at(w, at->slots),
                            .strings = cursor_at(w, at->strings)};
    struct cursor names = cursor_at(w, at->names), ordinals = cursor_at(w, at->ordinals);
    uint32_t module = put_string(&supply.strings, w->builtin->name);
    add_fixup(w, ldr_thunk_jump(&w->image, at->text.rva, supply.slots.at));
    put_pointer(&supply.slots, (uintptr_t)ldr_trap_entry);
    for (uint32_t i = 0; i < w->plan->count; i++) {
        const struct ldr_planned_export *planned = &w->plan->exports[i];
        uint32_t index = planned->ordinal - w->plan->ordinal_base, name = 0;
        if (planned->name != NULL) {
            name = put_string(&supply.strings, planned->name);
            put32(&names, name);
            put16(&ordinals, (uint16_t)index);
        }
        struct cursor function = cursor_at(w, at->functions + index * 4);
        put32(&function, write_export(w, &supply, planned, module, name));
    }
    write_directory(w, module);
}

/* ---- fixups ---- */

/* One block a page; an image without any still gets a block of padding, because an image with no
 * directory counts as not relocatable. */
static void write_fixups(struct writer *w)
{
    struct cursor c = cursor_at(w, w->at.reloc.rva);
    uint32_t i = 0;
    do {
        uint32_t page = (w->fixup_count ? w->fixups[i] : w->at.text.rva) & ~(PE_PAGE_SIZE - 1);
        struct cursor block = c;
        c.at += 8;
        for (; i < w->fixup_count && w->fixups[i] - page < PE_PAGE_SIZE; i++)
            put16(&c, (uint16_t)(3u << 12 | (w->fixups[i] - page))); /* HIGHLOW */
        if (c.at == block.at + 8)
            put16(&c, 0);
        if (c.at % 4 != 0)
            put16(&c, 0); /* ABSOLUTE: padding */
        put32(&block, page);
        put32(&block, c.at - (block.at - 4));
    } while (i < w->fixup_count);
    w->at.reloc_size = c.at - w->at.reloc.rva;
}

nt_status ldr_builtin_image(const struct ldr_builtin *builtin, uint8_t **bytes, uint64_t *size,
                            struct pe_error *err)
{
    struct ldr_builtin_plan plan = {0};
    struct writer w = {.builtin = builtin, .plan = &plan};
    uint8_t *file = NULL;
    if (builtin->prepared != NULL)
        return ldr_prepared_image(builtin, bytes, size, err);
    nt_status status = ldr_builtin_plan(builtin, &plan, err);
    if (status != STATUS_SUCCESS)
        return status;
    if (!place(builtin, &plan, &w.at)) {
        status = pe_fail(err, STATUS_INVALID_PARAMETER, "builtin module %s: larger than an image",
                         builtin->name);
        goto out;
    }
    file = calloc(1, w.at.file_size);
    w.fixups = calloc(plan.functions + plan.traps + 1, sizeof(w.fixups[0]));
    if (file == NULL || w.fixups == NULL) {
        free(file);
        status = pe_fail(err, STATUS_NO_MEMORY, "builtin module %s: no memory", builtin->name);
        goto out;
    }
    w.image.bytes = (struct pe_span){file, w.at.file_size};
    w.image.base = (uint32_t)ldr_builtin_base(builtin);
    write_exports(&w);
    write_fixups(&w);
    write_headers(&w);
    *bytes = file;
    *size = w.at.file_size;
out:
    free(w.fixups);
    ldr_builtin_plan_free(&plan);
    return status;
}

nt_status ldr_builtin_section(const struct ldr_builtin *builtin, struct mm_section **out,
                              struct pe_error *err)
{
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    if (builtin->prepared != NULL)
        return ldr_prepared_section(builtin, out, err);
    nt_status status = ldr_builtin_image(builtin, &bytes, &size, err);
    if (nt_ok(status))
        status =
            mm_section_create_image_from_memory(bytes, size, builtin->name, mm_windows(), out, err);
    free(bytes);
    return status;
}
