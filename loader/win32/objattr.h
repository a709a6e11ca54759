/*
 * OBJECT_ATTRIBUTES: how the Nt functions get names and flags of objects (Microsoft's documentation
 * of InitializeObjectAttributes; what odd ones give as Wine's tests record it for Windows).
 */
#ifndef WIN32_OBJATTR_H
#define WIN32_OBJATTR_H

#include "loader/ob/record.h"
#include "loader/win32/types.h"

enum { OBJ_INHERIT = 0x2, OBJ_CASE_INSENSITIVE = 0x40, OBJ_OPENIF = 0x80 };

typedef struct {
    ULONG Length;
    HANDLE RootDirectory;
    const UNICODE_STRING *ObjectName;
    ULONG Attributes;
    void *SecurityDescriptor, *SecurityQualityOfService;
} OBJECT_ATTRIBUTES;

/* The name of an object that is created: length 0 = none. There are no handles of directories. */
nt_status win32_nt_name(const OBJECT_ATTRIBUTES *attributes, struct ob_name *name, bool *global);
/* The same of one that is opened, which has a name. */
nt_status win32_nt_open_name(const OBJECT_ATTRIBUTES *attributes, struct ob_name *name,
                             bool *global);
/* Flags of the handle (ob_handle_create). */
uint32_t win32_nt_flags(const OBJECT_ATTRIBUTES *attributes);

/*
 * What the NtCreate... functions end with: a handle to the object of a creation that ended with
 * `status`; one that existed without OBJ_OPENIF is STATUS_OBJECT_NAME_COLLISION. Consumes the
 * reference, which there is when `status` is a success.
 */
nt_status win32_nt_created(nt_status status, struct ob_object *object, ULONG access,
                           const OBJECT_ATTRIBUTES *attributes, HANDLE *out);
/* A whole NtOpen... function. */
nt_status win32_nt_open(const struct ob_record_type *type, ULONG access,
                        const OBJECT_ATTRIBUTES *attributes, HANDLE *out);

#endif
