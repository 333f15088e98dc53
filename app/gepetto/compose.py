"""Puts one Gepetto process together from its settings. The only place that knows every part."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from app.compat.runtime import Runtime
from app.gepetto.configured import ConfigurationFile
from app.gepetto.deciders import BuiltIn, Decider, ShadowDecider
from app.gepetto.execution.ending import Ender
from app.gepetto.execution.executor import Executor
from app.gepetto.execution.fence import Fence
from app.gepetto.execution.fenced import FencedClusters, FencedValidator
from app.gepetto.execution.launch import Launcher
from app.gepetto.execution.limits import TokenBucket
from app.gepetto.execution.store import Store
from app.gepetto.files.recognise import FileMode, UnrecognisedError, recognise
from app.gepetto.files.runner import FileDecider, Limits
from app.gepetto.ingest.clusters import CachedClusters, ClusterFeed, LiveClusters
from app.gepetto.ingest.events import EventIntake
from app.gepetto.ingest.feeds import FeedReader
from app.gepetto.ingest.validators import ValidatorAdapter
from app.gepetto.ingest.world import World
from app.gepetto.kubernetes.client import Clusters
from app.gepetto.kubernetes.kubeconfigs import Kubeconfigs
from app.gepetto.kubernetes.notices import Notices, own_cluster
from app.gepetto.metrics import Metrics
from app.gepetto.ports import ClustersPort, UnavailableError, ValidatorPort
from app.gepetto.process import Process
from app.gepetto.service import Gepetto
from app.gepetto.settings import GepettoSettings, read_configuration
from app.gepetto.why import publish
from app.gepetto.world.views import ServerView
from app.observe.view import RedisFleetView
from app.protocol.model_cache import CacheLimits, limits_of
from app.protocol.signing import Signer
from app.protocol.validators import Validators
from app.storage.engine import create_engine
from app.storage.sealing import Vault
from app.validators.client import ValidatorClient
from app.validators.transport import Transport, new_http_client

log = structlog.get_logger(__name__)

LAUNCHES_PER_SECOND = 10.0
LAUNCH_BURST = 20


@asynccontextmanager
async def composed(settings: GepettoSettings) -> AsyncIterator[Process]:
    """A process from its settings; its connections are closed at the end."""
    engine = create_engine(settings.postgresql.get_secret_value())
    redis = Redis.from_url(settings.redis_url.get_secret_value())
    http = new_http_client()
    seed = settings.miner_seed.get_secret_value()
    kubeconfigs = Kubeconfigs(engine, Vault.of_seed(seed, accepts_plain=not settings.kubeconfig_sealed))
    clusters = Clusters(kubeconfigs.of, settings.chutes_namespace, kubeconfigs.look_again)
    notices = Notices(own_cluster(), settings.chutes_namespace)
    fence = Fence(engine)
    try:
        gepetto = _gepetto(settings, engine, redis, http, clusters, notices, fence)
        facts = Runtime(
            engine=engine,
            executor=gepetto.executor,
            clusters=FencedClusters(clusters, fence),
            signer=Signer.from_seed(seed),
            validators=Validators.model_validate_json(settings.validators).supported,
            redis_url=settings.redis_url.get_secret_value(),
            clock=time.time,
            options=public_options(settings),
        )
        yield Process(
            gepetto,
            engine,
            redis,
            kubeconfigs,
            facts,
            fence,
            full_file_of(settings.gepetto_file),
            settings.validator_migrations_enabled,
        )
    finally:
        await notices.close()
        await clusters.close()
        await http.aclose()
        await redis.aclose()
        await engine.dispose()


def public_options(settings: GepettoSettings) -> dict[str, object]:
    """Attributes of the public settings object that public files read. Overrides are sizes there, and nothing else."""
    fleet = CacheLimits(settings.cache_max_age_days, settings.cache_max_size_gb)
    overrides = settings.cache_overrides
    return {
        "namespace": settings.chutes_namespace,
        "nvidia_runtime": settings.nvidia_runtime,
        "registry_proxy_port": settings.registry_proxy_port,
        "cache_max_age_days": settings.cache_max_age_days,
        "cache_max_size_gb": settings.cache_max_size_gb,
        "cache_overrides": {name: limits_of(name, fleet, overrides).max_size_gb for name in overrides},
        "netuid": 64,
        "debug": False,
    }


def full_file_of(path: Path) -> Path | None:
    """The file, where it is a complete public one; a broken one is none, and falls back later with a loud signal."""
    try:
        return path if path.exists() and recognise(path.read_text()).mode is FileMode.FULL else None
    except UnrecognisedError:
        return None


def _gepetto(
    settings: GepettoSettings,
    engine: AsyncEngine,
    redis: Redis,
    http: httpx.AsyncClient,
    clusters: Clusters,
    notices: Notices,
    fence: Fence,
) -> Gepetto:
    signer = Signer.from_seed(settings.miner_seed.get_secret_value())
    entries = Validators.model_validate_json(settings.validators).supported
    clients = (ValidatorAdapter(ValidatorClient(Transport(entry, signer, http))) for entry in entries)
    ports = {client.hotkey: FencedValidator(client, fence) for client in clients}
    configuration = read_configuration(settings.gepetto_config)
    world = World(settings.miner_ss58, configuration.safety.fresh_seconds)
    metrics = Metrics()
    live: ClusterFeed = LiveClusters(clusters, time.time)
    cached: ClusterFeed = CachedClusters(RedisFleetView(redis, time.time))
    gepetto = Gepetto(
        engine=engine,
        world=world,
        readers={hotkey: FeedReader(world, port, engine, time.time) for hotkey, port in ports.items()},
        clusters=live if settings.gepetto_live_clusters else cached,
        intake=EventIntake(world, engine, time.time, lambda: None),
        executor=_executor(settings, Store(engine, fence), FencedClusters(clusters, fence), ports),
        configuration=configuration,
        decider=_decider(settings, metrics, notices),
        metrics=metrics,
        configured=ConfigurationFile(settings.gepetto_config, partial(notices.warn, "ConfigurationWrong")),
    )
    gepetto.intake.wake = gepetto.dirty.set
    gepetto.publish = partial(publish, redis)
    gepetto.forget_server = partial(_forget_server, tuple(ports.values()))
    return gepetto


async def _forget_server(validators: Iterable[ValidatorPort], server: ServerView) -> bool:
    """Tell every validator; False while the server's own one has not answered, because it would go on listing it."""
    told = True
    for port in validators:
        try:
            await port.delete_server(server.id, server.gpu_ids)
        except UnavailableError as error:
            told = told and port.hotkey != server.validator
            log.warning("a validator still lists a server", server=server.name, reason=str(error))
    return told


def _executor(
    settings: GepettoSettings, store: Store, clusters: ClustersPort, ports: Mapping[str, ValidatorPort]
) -> Executor:
    return Executor(
        launcher=Launcher(store, clusters, ports, settings.pods()),
        ender=Ender(store, clusters, ports, wait_seconds=settings.chute_shutdown_time_seconds + 20),
        bucket=TokenBucket(LAUNCHES_PER_SECOND, LAUNCH_BURST, time.monotonic),
        new_id=lambda: str(uuid.uuid4()),
    )


def _decider(settings: GepettoSettings, metrics: Metrics, notices: Notices) -> Decider:
    """The operator's file where there is one, acting or as a shadow, else the built-in strategies."""
    if not settings.gepetto_file.exists():
        return BuiltIn()

    def fault(kind: str, message: str) -> None:
        metrics.file_faults.labels(kind).inc()
        metrics.fallback.set(1)
        log.error("fallback to the default strategy", kind=kind, reason=message[-300:])
        notices.warn("StrategyFallback", f"{settings.gepetto_file.name}: {kind}: {message[-300:]}")

    def differs(ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
        metrics.shadow_differences.inc(len(ours) + len(theirs))
        log.info("the shadow decides otherwise", only_default=ours[:20], only_file=theirs[:20])

    shadow = settings.gepetto_shadow
    file = FileDecider(
        settings.gepetto_file,
        Limits(),
        fault,
        fail_stop=settings.gepetto_fail_stop and not shadow,
        on_recovery=partial(metrics.fallback.set, 0),
    )
    return ShadowDecider(file, differs) if shadow else file
