/*
 * Modules loaded as data: flat bytes, of which only the two signatures must be right (behaviours,
 * DLL loading).
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/map.h"
#include "loader/ob/fileshare.h"

static nt_status copy_bytes(struct ldr_module *module, const struct ldr_source *source,
                            struct pe_span *out, struct pe_error *err)
{
    uint64_t base = 0, size = source->size;
    nt_status status = size == 0
                           ? pe_fail(err, STATUS_FILE_INVALID, "%s is empty", source->name)
                           : mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, err);
    if (nt_ok(status)) {
        module->data_address = base;
        memcpy((void *)(uintptr_t)base, source->bytes, source->size);
        *out = (struct pe_span){(const uint8_t *)(uintptr_t)base, source->size};
    }
    return status;
}

static nt_status check_signatures(struct pe_span bytes, const char *name, struct pe_error *err)
{
    uint16_t mz = 0;
    uint32_t e_lfanew = 0, pe = 0;
    if (!pe_u16(bytes, 0, &mz) || mz != 0x5a4d) {
        return pe_fail(err, STATUS_INVALID_IMAGE_NOT_MZ, "%s does not begin with MZ", name);
    }
    if (!pe_u32(bytes, 0x3c, &e_lfanew) || !pe_u32(bytes, e_lfanew, &pe) || pe != 0x4550) {
        return pe_fail(err, STATUS_INVALID_IMAGE_FORMAT, "%s has no PE signature", name);
    }
    return STATUS_SUCCESS;
}

/* Puts the flat bytes into the record. */
static nt_status take_bytes(struct ldr_module *module, const struct ldr_source *source,
                            struct pe_span *out, struct pe_error *err)
{
    struct ldr_source written = *source;
    uint8_t *image = NULL;
    nt_status status = STATUS_SUCCESS;
    if (source->builtin) {
        status = ldr_builtin_image(source->builtin, &image, &written.size, err);
        written.bytes = image;
    }
    if (nt_ok(status) && written.bytes) {
        status = copy_bytes(module, &written, out, err);
    } else if (nt_ok(status)) {
        status = mm_file_map(source->fd, source->name, &module->data_file, err);
        *out = module->data_file;
        module->data_address = (uint64_t)(uintptr_t)out->data;
    }
    free(image);
    return status;
}

/* The record keeps the file, which others see as mapped; LOAD_LIBRARY_AS_DATAFILE_EXCLUSIVE. */
static nt_status keep_file(struct ldr_module *module, struct ldr_source *source, bool exclusive,
                           struct pe_error *err)
{
    uint32_t share = OB_SHARE_READ | OB_SHARE_DELETE;
    if (source->builtin || source->bytes) {
        return STATUS_SUCCESS;
    }
    nt_status status =
        exclusive ? ob_fileshare_claim(source->fd, OB_SHARE_READ, share) : STATUS_SUCCESS;
    if (!nt_ok(status)) {
        return pe_fail(err, status, "%s is open for writing", source->name);
    }
    ob_fileshare_use(source->fd, OB_FILE_MAPPED);
    module->file_fd = source->fd;
    source->fd = -1;
    return STATUS_SUCCESS;
}

nt_status ldr_map_data(struct ldr_source *source, bool exclusive, struct ldr_module **out,
                       struct pe_error *err)
{
    struct ldr_module *module = NULL;
    struct pe_span bytes = {0};
    struct pe_image image;
    bool builtin = source->builtin != NULL;
    nt_status status =
        ldr_module_create(LDR_KIND_DATA, source->name, source->path, builtin, &module, err);
    if (nt_ok(status)) {
        status = take_bytes(module, source, &bytes, err);
    }
    if (nt_ok(status)) {
        status = check_signatures(bytes, source->name, err);
    }
    if (nt_ok(status) && nt_ok(pe_open(bytes, PE_LAYOUT_FILE, &image, NULL))) {
        module->data_image = malloc(sizeof image);
        if (module->data_image) {
            *module->data_image = image;
        }
    }
    if (nt_ok(status)) {
        status = keep_file(module, source, exclusive, err);
    }
    if (!nt_ok(status)) {
        ldr_module_destroy(module);
        return status;
    }
    *out = module;
    return STATUS_SUCCESS;
}
