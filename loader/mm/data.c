/*
 * Data sections: creation and lifetime (data.h; facts 4.1, 4.4).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/mm/data_object.h"

static nt_status check(const struct mm_data_source *source, struct pe_error *err)
{
    const char *name = source->name != NULL ? source->name : "paging file";

    if (source->size == 0 || source->size > INT64_MAX || source->offset > INT64_MAX - source->size)
        return pe_fail(err, STATUS_INVALID_PARAMETER, "%s: 0x%llx bytes at 0x%llx are no section",
                       name, (unsigned long long)source->size, (unsigned long long)source->offset);
    if (source->offset % MM_GRANULARITY != 0)
        return pe_fail(err, STATUS_MAPPED_ALIGNMENT,
                       "%s: a section cannot begin at 0x%llx, which is no multiple of 64 KiB", name,
                       (unsigned long long)source->offset);
    if (!mm_protect_valid(source->protect) || source->protect > 0xFF)
        return pe_fail(err, STATUS_INVALID_PAGE_PROTECTION, "%s: 0x%x is no section protection",
                       name, source->protect);
    if (source->paging_file && (source->attributes & SEC_RESERVE) && source->commit == NULL)
        return pe_fail(err, STATUS_INVALID_PARAMETER,
                       "%s: a reserved section without a record of what is committed", name);
    return STATUS_SUCCESS;
}

nt_status mm_data_create(const struct mm_data_source *source, struct mm_data **out,
                         struct pe_error *err)
{
    nt_status status = check(source, err);
    struct mm_data *data;
    int fd;

    if (!nt_ok(status))
        return status;
    fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return pe_fail(err, mm_status_of_errno(errno), "cannot keep the file open: %s",
                       strerror(errno));
    data = malloc(sizeof(*data));
    if (data != NULL) {
        atomic_init(&data->references, 1);
        data->source = *source;
        data->source.fd = fd;
        data->source.name = strdup(source->name != NULL ? source->name : "");
        if (!source->paging_file || !(source->attributes & SEC_RESERVE))
            data->source.commit = NULL; /* SEC_RESERVE is without effect on files */
    }
    if (data == NULL || data->source.name == NULL) {
        free(data);
        close(fd);
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a section object");
    }
    *out = data;
    return STATUS_SUCCESS;
}

struct mm_data *mm_data_ref(struct mm_data *data)
{
    atomic_fetch_add(&data->references, 1);
    return data;
}

void mm_data_unref(struct mm_data *data)
{
    if (data == NULL || atomic_fetch_sub(&data->references, 1) != 1)
        return;
    close(data->source.fd);
    if (data->source.release != NULL)
        data->source.release(data->source.user);
    free((void *)(uintptr_t)data->source.name);
    free(data);
}

uint64_t mm_data_size(const struct mm_data *data)
{
    return data->source.size;
}

uint32_t mm_data_protect(const struct mm_data *data)
{
    return data->source.protect;
}

uint32_t mm_data_attributes(const struct mm_data *data)
{
    return data->source.attributes;
}
