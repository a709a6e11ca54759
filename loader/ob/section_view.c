/*
 * Views of section objects, and what can be asked about one (section.h).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ob/section_object.h"
#include "loader/ob/section_rules.h"

static struct ob_section *of(struct ob_object *object)
{
    return (struct ob_section *)object;
}

/* What lives as long as an image's view: the content of its SHARED PE sections, and the mark on its
 * file that somebody has it mapped. */
struct image_hold {
    struct ob_backing *shared;
    int fd;
};

static void release_image(void *user)
{
    struct image_hold *hold = user;
    ob_backing_close(hold->shared);
    if (hold->fd >= 0)
        close(hold->fd);
    free(hold);
}

static nt_status hold_image(const struct ob_section *section, struct mm_image_map *map,
                            struct pe_error *err)
{
    struct image_hold *hold = calloc(1, sizeof *hold);
    if (!hold)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a view");
    hold->fd = fcntl(section->fd, F_DUPFD_CLOEXEC, 0);
    map->shared_fd = -1;
    map->release = release_image;
    map->user = hold;
    if (mm_section_shared_size(section->image) == 0)
        return STATUS_SUCCESS;
    nt_status status = ob_backing_open_image(section->image, &hold->shared, &map->owns_shared, err);
    if (nt_ok(status))
        map->shared_fd = ob_backing_fd(hold->shared);
    else
        release_image(hold);
    return status;
}

/* An image is mapped whole, with the protections of its PE sections. */
static nt_status map_image(struct ob_section *section, const struct mm_data_map *how,
                           uint64_t *base, uint64_t *size, struct pe_error *err)
{
    uint32_t whole = mm_section_size(section->image);
    struct mm_image_map map = {.base = how->base, .limit = how->limit};
    if (how->offset >= whole || how->size > whole - how->offset)
        return pe_fail(err, STATUS_INVALID_VIEW_SIZE, "the image has 0x%x bytes", whole);
    nt_status status = hold_image(section, &map, err);
    if (!nt_ok(status))
        return status;
    status = mm_image_map(section->image, &map, base, size, err);
    if (!nt_ok(status))
        release_image(map.user);
    return status;
}

static nt_status map_data(struct ob_section *section, const struct mm_data_map *how, uint64_t *base,
                          uint64_t *size, struct pe_error *err)
{
    struct mm_data *data;
    nt_status status = ob_section_data(section, &data, err);
    if (!nt_ok(status))
        return status;
    status = mm_data_map(data, how, base, size, err);
    mm_data_unref(data);
    return status;
}

nt_status ob_section_map(struct ob_object *object, uint32_t access, const struct mm_data_map *how,
                         uint64_t *base, uint64_t *size, struct pe_error *err)
{
    struct ob_section *section = of(object);
    uint32_t needed = ob_section_rights(how->protect);
    if (needed == 0)
        return pe_fail(err, STATUS_INVALID_PAGE_PROTECTION, "no view has the protection 0x%x",
                       how->protect);
    if (needed & ~ob_section_access(access))
        return pe_fail(err, STATUS_ACCESS_DENIED, "the handle does not allow %s views",
                       mm_protect_name(how->protect));
    return section->image ? map_image(section, how, base, size, err)
                          : map_data(section, how, base, size, err);
}

nt_status ob_section_unmap(uint64_t address, struct pe_error *err)
{
    return mm_unmap_view(address, err);
}

nt_status ob_section_extend(struct ob_object *object, uint64_t *size, struct pe_error *err)
{
    struct ob_section *section = of(object);
    struct ob_section_body *body = ob_record_body(section->record);
    struct ob_section_file file;
    if (section->kind != OB_SECTION_FILE || !ob_section_writes(section->protect))
        return pe_fail(err, STATUS_SECTION_NOT_EXTENDED,
                       "the section is not one of a file that it "
                       "writes to");
    uint64_t now = __atomic_load_n(&body->size, __ATOMIC_ACQUIRE), wanted = *size;
    if (wanted > now && ob_section_file_identify(section->fd, &file)) {
        nt_status status = ob_section_file_size(&file, wanted, true, &wanted, err);
        if (!nt_ok(status))
            return status;
        while (now < wanted && !__atomic_compare_exchange_n(&body->size, &now, wanted, false,
                                                            __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            continue;
    }
    *size = now < wanted ? wanted : now;
    return STATUS_SUCCESS;
}

/* ---- questions ----------------------------------------------------------------------------------
 */

/* What SectionBasicInformation shows of a file is that it is one, not what was asked for. */
static uint32_t shown_attributes(uint32_t kind, uint32_t attributes)
{
    if (kind == OB_SECTION_PAGING)
        return attributes;
    uint32_t kept = attributes & (SEC_IMAGE | SEC_NOCACHE | SEC_WRITECOMBINE);
    return SEC_FILE | kept;
}

void ob_section_query(struct ob_object *object, struct ob_section_info *out)
{
    const struct ob_section *section = of(object);
    const struct ob_section_body *body = ob_record_body(section->record);
    *out = (struct ob_section_info){
        .size = section->image ? mm_section_size(section->image)
                               : __atomic_load_n(&body->size, __ATOMIC_ACQUIRE),
        .protect = section->protect,
        .attributes = shown_attributes(section->kind, section->attributes),
        .image = section->image,
    };
}

bool ob_section_summarize(const void *body, struct ob_section_summary *out)
{
    struct ob_section_body copy;
    if (!ob_section_read_body(body, &copy, true))
        return false;
    out->size = copy.size;
    out->protect = copy.protect;
    out->attributes = shown_attributes(copy.kind, copy.attributes);
    size_t length = strnlen(copy.path, sizeof out->path - 1);
    memcpy(out->path, copy.path, length);
    out->path[length] = '\0';
    return true;
}
