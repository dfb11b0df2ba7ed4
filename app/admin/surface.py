"""All of the operators' HTTP surface."""

from app.admin.job_routes import router as jobs
from app.admin.money_routes import router as money
from app.admin.routes import router as tenants
from app.admin.webhook_routes import router as webhooks

ROUTERS = (tenants, money, jobs, webhooks)
