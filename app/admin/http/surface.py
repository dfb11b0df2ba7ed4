"""All routers of the operators' API."""

from app.admin.http.job_routes import router as jobs
from app.admin.http.money_routes import router as money
from app.admin.http.routes import router as tenants
from app.admin.http.webhook_routes import router as webhooks

ROUTERS = (tenants, money, jobs, webhooks)
