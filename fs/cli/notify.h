#ifndef FS_CLI_NOTIFY_H
#define FS_CLI_NOTIFY_H
/*
 * systemd's readiness protocol (sd_notify(3)), as little of it as a unit of
 * Type=notify needs: one datagram to the socket named by NOTIFY_SOCKET.
 */

/* Sends TEXT ("READY=1", "STOPPING=1", "STATUS=…"; lines). Without the
 * variable, or with a service manager that does not listen, nothing happens. */
void notify_manager(const char *text);

#endif
