/*
 * OBJECT_ATTRIBUTES (see objattr.h).
 */
#include "loader/win32/objattr.h"

#include "loader/win32/errors.h"

nt_status win32_nt_name(const OBJECT_ATTRIBUTES *attributes, struct ob_name *name, bool *global)
{
    *name = (struct ob_name){0};
    *global = false;
    if (!attributes)
        return STATUS_SUCCESS;
    if (attributes->Length != sizeof(*attributes))
        return STATUS_INVALID_PARAMETER;
    const UNICODE_STRING *text = attributes->ObjectName;
    if (!text)
        return attributes->RootDirectory ? STATUS_OBJECT_NAME_INVALID : STATUS_SUCCESS;
    if (text->Length % sizeof(WCHAR) != 0)
        return STATUS_OBJECT_NAME_INVALID;
    if (text->Length && attributes->RootDirectory)
        return STATUS_INVALID_HANDLE;
    return ob_name_parse_nt(text->Buffer, text->Length,
                            attributes->Attributes & OBJ_CASE_INSENSITIVE, name, global);
}

nt_status win32_nt_open_name(const OBJECT_ATTRIBUTES *attributes, struct ob_name *name,
                             bool *global)
{
    if (!attributes)
        return STATUS_INVALID_PARAMETER;
    nt_status status = win32_nt_name(attributes, name, global);
    if (nt_ok(status) && name->length == 0)
        return attributes->RootDirectory ? STATUS_INVALID_HANDLE : STATUS_OBJECT_PATH_SYNTAX_BAD;
    return status;
}

uint32_t win32_nt_flags(const OBJECT_ATTRIBUTES *attributes)
{
    return attributes && attributes->Attributes & OBJ_INHERIT ? 1 : 0;
}

/* Consumes the reference. `status` when it worked. */
static nt_status make_handle(nt_status status, struct ob_object *object, ULONG access,
                             const OBJECT_ATTRIBUTES *attributes, HANDLE *out)
{
    uint32_t handle = ob_handle_create(object, access, win32_nt_flags(attributes));
    ob_object_unref(object);
    if (!handle)
        return STATUS_NO_MEMORY;
    *out = win32_handle(handle);
    return status;
}

nt_status win32_nt_created(nt_status status, struct ob_object *object, ULONG access,
                           const OBJECT_ATTRIBUTES *attributes, HANDLE *out)
{
    if (!nt_ok(status))
        return status;
    if (status == STATUS_OBJECT_NAME_EXISTS && !(attributes->Attributes & OBJ_OPENIF)) {
        ob_object_unref(object);
        return STATUS_OBJECT_NAME_COLLISION;
    }
    return make_handle(status, object, access, attributes, out);
}

nt_status win32_nt_open(const struct ob_record_type *type, ULONG access,
                        const OBJECT_ATTRIBUTES *attributes, HANDLE *out)
{
    struct ob_name name;
    struct ob_object *object;
    bool global;
    nt_status status = win32_nt_open_name(attributes, &name, &global);
    if (nt_ok(status))
        status = ob_record_open(&name, global, type, &object, NULL);
    return nt_ok(status) ? make_handle(status, object, access, attributes, out) : status;
}
