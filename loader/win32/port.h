/*
 * Waiting for the packets of a completion port: what KERNEL32 and NTDLL share.
 */
#ifndef WIN32_PORT_H
#define WIN32_PORT_H

#include "loader/ob/port.h"
#include "loader/win32/types.h"

/*
 * Takes up to `count` packets of the port behind the handle. STATUS_TIMEOUT without any; alertable,
 * it also ends with STATUS_USER_APC, after the calls were made, and STATUS_ALERTED.
 */
nt_status win32_port_remove(HANDLE handle, struct ob_completion *packets, uint32_t count,
                            DWORD milliseconds, bool alertable, uint32_t *taken);

#endif
