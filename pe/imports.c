/*
 * Import and delay-import descriptors and their thunks (PE specification, .idata; facts 3.4, 3.6).
 *
 * The directory's size plays no part: Windows walks until a descriptor's Name or FirstThunk is 0
 * (delay imports: Name), which may lie in zero fill past the end of the file (behaviours, Imports).
 * The caps are far above what linkers make and keep a hostile image's work bounded.
 */
#include "pe/imports.h"

#include "pe/dirs.h"
#include "pe/internal.h"

#define MAX_MODULES 1024u
#define MAX_THUNKS  65536u

#define IMPORT_DESCRIPTOR_SIZE 20u
#define DELAY_DESCRIPTOR_SIZE  32u

#define DLATTR_RVA 1u

static int fail(nt_status *status)
{
    *status = STATUS_INVALID_IMAGE_FORMAT;
    return -1;
}

static bool open_modules(const struct pe_image *image, bool delay, struct pe_import_module_iter *it)
{
    struct pe_directory dir;
    enum pe_directory_index index =
        delay ? IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT : IMAGE_DIRECTORY_ENTRY_IMPORT;
    *it = (struct pe_import_module_iter){.image = image, .delay = delay};
    if (!pe_directory_get(image, index, &dir))
        return false;
    it->rva = dir.rva;
    it->end = (uint32_t)pe_limit(image);
    it->left = MAX_MODULES;
    return true;
}

bool pe_import_modules(const struct pe_image *image, struct pe_import_module_iter *it)
{
    return open_modules(image, false, it);
}

bool pe_delay_import_modules(const struct pe_image *image, struct pe_import_module_iter *it)
{
    return open_modules(image, true, it);
}

/* 1 with the descriptor's fields, 0 at the terminator; `name` is the name's RVA. */
static int decode_import(const struct pe_image *image, struct pe_span d,
                         struct pe_import_module *out, uint32_t *name)
{
    uint32_t original = 0;
    pe_u32(d, 0, &original);
    pe_u32(d, 4, &out->time_date_stamp);
    pe_u32(d, 8, &out->forwarder_chain);
    pe_u32(d, 12, name);
    pe_u32(d, 16, &out->iat_rva);
    out->lookup_rva = original ? original : out->iat_rva;
    return *name && out->iat_rva;
}

/* Old descriptors hold VAs in PE32 images; 0 stays 0, a VA outside the image is malformed. */
static bool to_rva(const struct pe_image *image, bool va_form, uint32_t *field)
{
    return !va_form || *field == 0 || pe_va_to_rva(image, *field, field);
}

static int decode_delay(const struct pe_image *image, struct pe_span d,
                        struct pe_import_module *out, uint32_t *name)
{
    uint32_t attributes = 0;
    pe_u32(d, 0, &attributes);
    pe_u32(d, 4, name);
    pe_u32(d, 8, &out->module_handle_rva);
    pe_u32(d, 12, &out->iat_rva);
    pe_u32(d, 16, &out->lookup_rva);
    pe_u32(d, 20, &out->bound_iat_rva);
    pe_u32(d, 24, &out->unload_iat_rva);
    pe_u32(d, 28, &out->time_date_stamp);
    if (*name == 0)
        return 0;
    out->delay = true;
    out->delay_va_form = !(attributes & DLATTR_RVA);
    bool ok = to_rva(image, out->delay_va_form, name) &&
              to_rva(image, out->delay_va_form, &out->module_handle_rva) &&
              to_rva(image, out->delay_va_form, &out->iat_rva) &&
              to_rva(image, out->delay_va_form, &out->lookup_rva) &&
              to_rva(image, out->delay_va_form, &out->bound_iat_rva) &&
              to_rva(image, out->delay_va_form, &out->unload_iat_rva);
    return ok ? 1 : -1;
}

/* An empty address table means that nothing is wanted from the module (behaviours, Imports). */
static bool is_empty(const struct pe_image *image, const struct pe_import_module *m)
{
    uint64_t lookup, iat;
    return (pe_rva_ptr(image, m->iat_rva, &iat) && iat == 0) ||
           (pe_rva_ptr(image, m->lookup_rva, &lookup) && lookup == 0);
}

int pe_import_module_next(struct pe_import_module_iter *it, struct pe_import_module *out)
{
    uint8_t buffer[DELAY_DESCRIPTOR_SIZE];
    uint32_t size = it->delay ? DELAY_DESCRIPTOR_SIZE : IMPORT_DESCRIPTOR_SIZE, name = 0;
    struct pe_import_module m = {.descriptor_rva = it->rva, .name = {"", 0}};
    if (!nt_ok(it->status))
        return -1;
    if (it->rva == 0)
        return 0;
    if (it->rva >= it->end || it->left == 0 || !pe_rva_copy(it->image, it->rva, buffer, size))
        return fail(&it->status);
    struct pe_span descriptor = {buffer, size};
    int more = it->delay ? decode_delay(it->image, descriptor, &m, &name)
                         : decode_import(it->image, descriptor, &m, &name);
    if (more < 0)
        return fail(&it->status);
    if (more == 0) {
        it->rva = 0;
        return 0;
    }
    m.empty = is_empty(it->image, &m);
    if (!pe_rva_str(it->image, name, PE_MAX_MODULENAME, &m.name) && !m.empty)
        return fail(&it->status);
    it->rva += size;
    it->left--;
    *out = m;
    return 1;
}

void pe_imports(const struct pe_image *image, const struct pe_import_module *module,
                struct pe_import_iter *it)
{
    *it = (struct pe_import_iter){
        .image = image,
        .lookup_rva = module->lookup_rva,
        .iat_rva = module->iat_rva,
        .va_form = module->delay_va_form,
        .limit = (uint32_t)pe_limit(image),
        .left = MAX_THUNKS,
    };
}

/* IMAGE_IMPORT_BY_NAME: a hint and the name behind it. */
static bool decode_name(struct pe_import_iter *it, uint32_t rva, struct pe_import *out)
{
    return to_rva(it->image, it->va_form, &rva) &&
           pe_window_u16(it->image, &it->names, rva, &out->hint) && rva <= UINT32_MAX - 2 &&
           pe_window_str(it->image, &it->names, rva + 2, PE_MAX_NAME, &out->name);
}

/* The next thunk's lower half, which is all that counts of it beside the top bit. */
static bool read_thunk(struct pe_import_iter *it, uint32_t *low, bool *by_ordinal, bool *end)
{
    if (it->image->h.pe32_plus) {
        uint64_t thunk;
        if (!pe_window_ptr(it->image, &it->lookup, it->lookup_rva, &thunk))
            return false;
        *low = (uint32_t)thunk;
        *by_ordinal = thunk >> 63;
        *end = thunk == 0;
        return true;
    }
    if (!pe_window_u32(it->image, &it->lookup, it->lookup_rva, low))
        return false;
    *by_ordinal = *low >> 31;
    *end = *low == 0;
    return true;
}

int pe_import_next(struct pe_import_iter *it, struct pe_import *out)
{
    uint32_t size = it->image->h.pe32_plus ? 8 : 4, low;
    bool end;
    if (!nt_ok(it->status))
        return -1;
    if (it->lookup_rva == 0)
        return 0;
    if (it->left == 0 || !read_thunk(it, &low, &out->by_ordinal, &end))
        return fail(&it->status);
    if (end) {
        it->lookup_rva = 0;
        return 0;
    }
    out->thunk_rva = it->iat_rva;
    if (out->by_ordinal) {
        out->ordinal = (uint16_t)low;
        out->hint = 0;
        out->name = (struct pe_str){"", 0};
    } else {
        out->ordinal = 0;
        if (!decode_name(it, low, out))
            return fail(&it->status);
    }
    if (it->limit < size || it->iat_rva > it->limit - size) /* nowhere to put the address */
        return fail(&it->status);
    it->lookup_rva += size;
    it->iat_rva += size;
    it->left--;
    return 1;
}

uint32_t pe_imports_ahead(struct pe_import_iter *it)
{
    uint32_t size = it->image->h.pe32_plus ? 8 : 4, count = 0, low, high = 0;
    if (it->lookup_rva == 0 || !pe_window_u32(it->image, &it->lookup, it->lookup_rva, &low))
        return 0;
    const struct pe_run *bytes = &it->lookup.bytes;
    uint32_t at = it->lookup_rva - it->lookup.rva;
    while (count < it->left && pe_run_u32(bytes, at, &low) &&
           (size == 4 || pe_run_u32(bytes, at + 4, &high)) && (low | high) != 0) {
        at += size;
        count++;
    }
    return count;
}
