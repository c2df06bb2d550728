// The replies of operations, as far as the page shows them. The schemas in /api/openapi.json are the whole truth.

export type Time = number; // unix seconds

export interface PeerRow {
  peer_id: string;
  multiaddrs: string[];
  connected: boolean;
  last_seen: Time | null;
  first_seen: Time | null;
  protocols: string[];
  agent_version: string | null;
  protocol_version: string | null;
  cluster_peer: boolean;
  connection_attempts: number;
  successful_connections: number;
  last_connection_attempt: Time | null;
  last_successful_connection: Time | null;
  latency_ms: number | null;
  shared_pins: unknown[];
  shared_files: unknown[];
  direction: "inbound" | "outbound" | null;
  transport: string | null;
}

export interface PeerInfo extends PeerRow {
  connections: { address: string; direction: string; transport: string; opened_at: Time }[];
  policy: string;
  tags: Record<string, number>;
  metadata: Record<string, unknown>;
  sources: string[];
  last_error: LastError | null;
  next_retry_at: Time | null;
  last_disconnect: { reason: string; at: Time } | null;
}

export interface LastError {
  code: string;
  message: string;
  at: Time;
}

export interface PeerPage {
  peers: PeerRow[];
  pagination: { total: number; limit: number; offset: number; has_more: boolean };
}

export interface Status {
  state: string;
  peer_id: string;
  listen_addrs: string[];
  version: string;
  uptime_seconds: number;
  profile: string;
  warnings: string[];
}

export interface Stats {
  total_peers: number;
  connected_peers: number;
  bootstrap_peers: number;
  discovery_active: boolean;
  total_discovered: number;
  last_discovery: Time | null;
  uptime_seconds: number;
  dropped: Record<string, number>;
  traffic: { bytes_in: number; bytes_out: number };
  limits: { max_connections: number; max_peers: number; low_water: number; high_water: number };
}

export interface Summary {
  protocols: Record<string, number>;
  recent_events: PeerEvent[];
  stats: Stats;
}

export interface SourceReport {
  enabled: boolean;
  found: number;
  total_found: number;
  heard: number;
  dropped: Record<string, number>;
  last_found: Time | null;
  note: string | null;
  last_error: LastError | null;
}

export interface Discovery {
  discovered_peers: PeerRow[];
  total_discovered: number;
  discovery_active: boolean;
  interval_s: number;
  last_pass: Time | null;
  complete: boolean;
  sources: Record<string, SourceReport>;
  bootstrap_peers: string[];
}

export interface Bootstrap {
  bootstrap_peers: string[];
  changed: boolean;
}

export interface FromDaemon {
  peers: PeerRow[];
  connected: string[];
  failed: { peer_id: string; address: string | null; code: string; error: string }[];
}

export interface Attempt {
  address: string;
  source: string;
  stage: string | null;
  code: string | null;
  error: string | null;
  hint: string | null;
  duration_ms: number | null;
}

export interface Lookup {
  source: string;
  found: number;
  duration_ms: number;
  error: string | null;
}

export interface Connected {
  peer_id: string;
  message: string;
  address: string;
  transport: string;
  already_connected: boolean;
  duration_ms: number;
  attempts: Attempt[];
  lookups: Lookup[];
}

export interface Pinged {
  peer_id: string;
  rtts_ms: number[];
  sent: number;
  received: number;
}

export interface PeerEvent {
  seq: number;
  timestamp: Time;
  peer_id: string | null;
  event: string;
  [field: string]: unknown;
}
