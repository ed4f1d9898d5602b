/*
 * prepare and attach.
 *
 * The first time the local directory is copied into the mirror and the sandbox
 * is made equal to the mirror by the same batches that later send edits. A
 * later time the session first looks whether anything was done in the mirror or
 * in the sandbox that is not home yet: then nothing of it is touched, the old
 * baseline stays, and the session goes on where it was. Without a local
 * directory the mirror becomes what the sandbox lists: fs/sync/attach.c.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <string.h>

#include "fs/mirror/base.h"
#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "merge/diff.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/scan.h"
#include "transport/json.h"

static bool has_baseline(struct session *s)
{
	g_autofree char *mark = state_get(s->state, "baseline");

	return mark && !strcmp(mark, "done");
}

/* Whether the mirror, of which *NOW becomes a scan, differs from the
 * baseline. */
static int mirror_has_work(struct session *s, struct manifest **now,
	bool *work, GError **err)
{
	bool damaged = false;
	g_autoptr(manifest_auto) base = session_load_table(
		s, STATE_BASE_MOUNT, &damaged);
	struct scan_options o = {
		.cache = base, .hash = SCAN_HASH_CHANGED, .stubs = SCAN_STUBS,
	};

	if (scan_tree(s->mirror_fd, &o, now, NULL, err) < 0)
		return -EIO;
	*work = damaged || !session_has_same_tree(s, base, *now);
	return 0;
}

static bool has_open_plan(struct session *s)
{
	struct plan *p = NULL;
	bool open = state_load_plan(s->state, "restore", &p, NULL) < 0 || p;

	plan_free(p);
	return open || session_is_undoing(s);
}

/* The sandbox is new to us: what it acknowledged before is void. */
static int check_fresh(struct session *s, GError **err)
{
	if (!tree_is_fresh(s->tree) ||
		state_count(s->state, STATE_ACK_REMOTE) == 0)
		return 0;
	log_write(LOG_WARNING,
		"the sandbox was replaced or emptied since; sending "
		"everything again");
	return acknowledge_nothing(s, err);
}

/* A workspace we once filled and that is gone now is filled again. */
static int connect_for_prepare(struct session *s, GError **err)
{
	g_autoptr(GError) why = NULL;

	if (session_connect(s, &why) == 0)
		return check_fresh(s, err);
	if (why->code != FAIL_GONE || !s->remote) {
		g_propagate_error(err, g_steal_pointer(&why));
		return -EIO;
	}
	log_write(LOG_WARNING, "%s; sending everything again", why->message);
	if (acknowledge_nothing(s, err) < 0)
		return -EIO;
	return session_connect(s, err);
}

/* What cannot be sent because of its path's length is here all the same: said,
 * and no reason to have nothing. Nor is any refusal to who takes up work. */
static int send_what_goes(struct session *s, struct prepare_result *r,
	struct upload_result *total, GError **err)
{
	g_autoptr(GError) why = NULL;

	if (upload_until(s, mirror_sequence(s->mirror), 0, total, &why) == 0)
		return 0;
	if (why->code != FAIL_PENDING || !refusals_any(s) ||
		!(r->resumed || refusals_only_long(s))) {
		g_propagate_error(err, g_steal_pointer(&why));
		return -EIO;
	}
	log_write(LOG_WARNING, "%s", why->message);
	r->unreadable += refusals_only_long(s);
	return 0;
}

/* Sends what the mirror has and the acknowledged state has not. */
static int send_dirty(struct session *s, struct prepare_result *r, GError **err)
{
	struct upload_result total = { 0 };
	uint64_t batches = s->counters.batches;
	int ret;

	if (session_reload_mirror(s, err) < 0)
		return -EIO;
	ret = send_what_goes(s, r, &total, err);
	r->sent_files += total.files;
	r->sent_bytes += total.bytes;
	r->wire_bytes += total.wire_bytes;
	r->deleted += total.deleted;
	r->kept += s->keep_replaced ? total.replaced : 0;
	r->batches += s->counters.batches - batches;
	return ret;
}

/* Makes the sandbox equal to the mirror, whatever it holds. */
static int send_everything(struct session *s, struct prepare_result *r,
	GError **err)
{
	struct tree_listing *l = NULL;
	struct call call = session_call(s);
	int ret;

	session_step(s, "listing the sandbox", 0, 0, false);
	ret = tree_list(s->tree, NULL, s->exclude, &call, &l, err);
	if (ret == 0)
		ret = acknowledge_listing(s, l, err);
	tree_listing_free(l);
	return ret < 0 ? -EIO : send_dirty(s, r, err);
}

static int take_local(struct session *s, GError **err)
{
	bool replaced;
	int fd = session_open_local(s, &replaced, err);
	struct stat st;

	if (fd < 0)
		return -EIO;
	if (replaced && fstat(fd, &st) == 0) {
		s->local_dev = st.st_dev;
		s->local_ino = st.st_ino;
	}
	close(fd);
	return 0;
}

/* What is known before a new baseline is made. */
struct look {
	bool settled;		 /* nothing anywhere waits to come home */
	bool fresh;		 /* the sandbox was compared, too */
	bool other_extent;	 /* than the last time */
	char *extent;		 /* as it is now; owned */
	struct manifest *mirror; /* a scan, or NULL; owned */
};

static void look_release(struct look *l)
{
	g_free(l->extent);
	manifest_free(l->mirror);
}

/* A new baseline: local -> mirror -> sandbox. */
static int prepare_new(struct session *s, struct look *l,
	struct prepare_result *r, GError **err)
{
	bool changed = true;

	session_unload_mirror(s);
	if (take_local(s, err) < 0)
		return -EIO;
	if (populate_mirror(s, g_steal_pointer(&l->mirror), r, &changed, err) <
			0)
		return -EIO;
	if (state_drop_plan(s->state, "undo", err) < 0)
		return -EIO;
	/* Nothing moved anywhere: no second look at the sandbox. */
	if (!changed && l->fresh && !l->other_extent) {
		if (send_dirty(s, r, err) < 0)
			return -EIO;
		return r->batches ? refresh_flow(s, err) : 0;
	}
	if (send_everything(s, r, err) < 0)
		return -EIO;
	/* Our own batches, as the next difference would tell them again. */
	if (refresh_flow(s, err) < 0)
		return -EIO;
	return state_set(s->state, "extent", l->extent, err);
}

/* The work of an earlier run goes on: in with what the sandbox did, out with
 * what was not sent. */
static int resume(struct session *s, struct prepare_result *r, GError **err)
{
	struct upload_result total = { 0 };
	uint64_t batches = s->counters.batches;

	r->resumed = true;
	log_write(LOG_INFO, "taking up unrestored work of an earlier run");
	if (session_load(s, err) < 0 || refresh_flow(s, err) < 0)
		return -EIO;
	if (send_what_goes(s, r, &total, err) < 0)
		return -EIO;
	r->sent_files = total.files;
	r->sent_bytes = total.bytes;
	r->wire_bytes = total.wire_bytes;
	r->batches = s->counters.batches - batches;
	return 0;
}

/* What was left out until now was never listed, or listed and not looked at: of
 * that no difference tells. */
static int look_at_extent(struct session *s, struct look *l, GError **err)
{
	g_autofree char *was = state_get(s->state, "extent");

	l->extent = extent_text(s);
	l->other_extent = g_strcmp0(l->extent, was) != 0;
	return l->other_extent ? state_set(s->state, "listing", NULL, err) : 0;
}

/* Without a local directory: the files are stubs until they are needed. */
static int attach(struct session *s, struct prepare_result *r, GError **err)
{
	struct look l = { 0 };
	int ret = look_at_extent(s, &l, err);

	if (ret == 0)
		ret = has_baseline(s) ? resume(s, r, err) : attach_new(s, err);
	if (ret == 0 && l.other_extent)
		ret = state_set(s->state, "extent", l.extent, err);
	look_release(&l);
	if (ret == 0 && s->options->prefetch_all)
		ret = fetch_all(s, err);
	return ret;
}

static int look_around(struct session *s, struct look *l, GError **err)
{
	bool work = true;

	if (look_at_extent(s, l, err) < 0)
		return -EIO;
	if (!has_baseline(s)) {
		l->settled = true;
		return 0;
	}
	if (has_open_plan(s))
		return 0;
	/* What the sandbox did counts as soon as it is in the mirror. */
	l->fresh = state_count(s->state, STATE_ACK_REMOTE) > 0;
	if (l->fresh && refresh_flow(s, err) < 0)
		return -EIO;
	if (mirror_has_work(s, &l->mirror, &work, err) < 0)
		return -EIO;
	l->settled = !work;
	return 0;
}

static int prepare(struct session *s, struct prepare_result *r, GError **err)
{
	struct look l = { 0 };
	int ret;

	if (connect_for_prepare(s, err) < 0)
		return -EIO;
	if (!s->options->local)
		return attach(s, r, err);
	s->keep_replaced = !has_baseline(s) || tree_is_fresh(s->tree);
	ret = look_around(s, &l, err);
	if (ret == 0)
		ret = l.settled ? prepare_new(s, &l, r, err)
				: resume(s, r, err);
	s->keep_replaced = false;
	look_release(&l);
	return ret;
}

int session_prepare(struct session *s, struct prepare_result *r, GError **err)
{
	g_autoptr(GError) why = NULL;
	uint64_t files = s->counters.fetched_files;
	uint64_t bytes = s->counters.fetched_bytes;
	int64_t began = io_now_ns();
	int ret;

	*r = (struct prepare_result){ 0 };
	session_enter_flow(s);
	ret = prepare(s, r, &why);
	if (ret == 0)
		ret = assets_send(s, r, &why);
	if (ret == 0)
		ret = session_load(s, &why);
	session_leave_flow(s);
	r->fetched_files = s->counters.fetched_files - files;
	r->fetched_bytes = s->counters.fetched_bytes - bytes;
	r->duration_ms = (io_now_ns() - began) / 1000000;
	if (ret == 0)
		return session_set_state(s, SESSION_PREPARED, NULL, NULL, err);
	session_set_state(s, SESSION_FAILED, NULL, why->message, NULL);
	g_propagate_error(err, g_steal_pointer(&why));
	return ret;
}

char *session_kept_in(const struct session *s)
{
	return g_strdup_printf("%s/replaced-%s", s->options->runtime_dir,
		s->id);
}

static void put_assets(struct session *s, struct json *j, char **assets)
{
	for (; *assets; assets++) {
		g_auto(GStrv) pair = g_strsplit(*assets, "=", 2);
		g_autofree char *dir = g_strdup_printf("%s/%s/%s",
			s->spec->remote_cwd, s->options->runtime_dir, pair[0]);

		json_put_path(j, pair[0], dir);
	}
}

static struct json *parse_own(char *text)
{
	struct json *j = json_parse(text, strlen(text), NULL);

	g_free(text);
	return j;
}

struct json *session_prepare_json(struct session *s,
	const struct prepare_result *r)
{
	struct json *j = json_new_object();
	struct json *assets = json_new_object();
	struct json *sent = json_new_object();
	g_autofree char *runtime = g_strdup_printf("%s/%s",
		s->spec->remote_cwd, s->options->runtime_dir);

	put_assets(s, assets, s->options->assets);
	put_assets(s, assets, s->options->assets_follow);
	json_put_int(sent, "files", (int64_t)r->sent_files);
	json_put_int(sent, "bytes", (int64_t)r->sent_bytes);
	json_put_int(sent, "wire_bytes", (int64_t)r->wire_bytes);
	json_put_int(sent, "batches", (int64_t)r->batches);
	json_put_string(j, "name", s->name);
	if (s->options->local)
		json_put_path(j, "local", s->options->local);
	else
		json_put_string(j, "local", NULL);
	json_put_path(j, "workspace_remote_dir", s->spec->remote_cwd);
	json_put_path(j, "runtime_root_dir", runtime);
	json_put(j, "asset_dirs", assets);
	json_put(j, "identity", parse_own(spec_identity_json(s->spec)));
	json_put(j, "sent", sent);
	json_put_int(j, "deleted", (int64_t)r->deleted);
	json_put_int(j, "kept", (int64_t)r->kept);
	json_put_int(j, "skipped", (int64_t)(r->special + r->unreadable));
	json_put_bool(j, "resumed", r->resumed);
	json_put_int(j, "duration_ms", r->duration_ms);
	return j;
}
