"""All of the operators' HTTP surface."""

from app.admin.job_routes import router as jobs
from app.admin.money_routes import router as money
from app.admin.routes import router as tenants

ROUTERS = (tenants, money, jobs)
